"""Asks services and pipelines what they take and give."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

from inferloom.mesh.call import Call
from inferloom.mesh.catalog import Kind, Model
from inferloom.mesh.errors import InferloomError, ModelNotFound
from inferloom.mesh.oip import DESCRIBE
from inferloom.mesh.router.router import Router
from inferloom.services.answerer import Description
from inferloom.v1 import typed_pb2

__all__ = ["Descriptions"]

PATIENCE = 2.0  # seconds for one to answer
FRESH = 5.0  # seconds: a host that reloads its code tells another thing without the catalog's changing


class Descriptions:
    """A description is kept for five seconds, and no longer than the catalog's model object stays the same."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._kept: dict[str, tuple[Model, float, Description]] = {}

    async def of(self, name: str) -> Description:
        """Raises InferloomError where it does not tell within two seconds."""
        model = self._router.pool.catalog.models.get(name)
        if model is None:
            raise ModelNotFound(name, self._router.pool.catalog.near(name))
        kept = self._kept.get(name)
        now = self._router.clock.now()
        if kept is not None and kept[0] is model and now < kept[1] + FRESH:
            return kept[2]
        payload = typed_pb2.DescribeRequest(model_name=name).SerializeToString()
        call = Call(name, "", DESCRIBE.path, payload, (), now + PATIENCE)
        reply = await self._router(call)
        told = typed_pb2.DescribeResponse.FromString(reply.payload)
        described = Description(
            told.description,
            json.loads(told.request_schema),
            json.loads(told.response_schema),
            told.streams,
            told.method,
        )
        self._kept[name] = (model, now, described)
        return described

    async def streams(self, name: str) -> bool:
        """Whether it answers one by one; as it last said where it does not answer now: the call itself will say why."""
        try:
            return (await self.of(name)).streams
        except InferloomError:
            kept = self._kept.get(name)
            return kept is not None and kept[2].streams

    async def method(self, name: str) -> str:
        """The method that answers under a service's own name; "" where it does not tell now."""
        try:
            return (await self.of(name)).method
        except InferloomError:
            return ""

    async def all(self) -> tuple[Mapping[str, Description], Mapping[str, str]]:
        """Those that told, and why the others did not. Models in a Triton are not asked: they have no types."""
        models = self._router.pool.catalog.models
        names = [name for name, model in models.items() if model.kind is not Kind.MODEL]
        self._kept = {name: kept for name, kept in self._kept.items() if name in models}
        told = await asyncio.gather(*(self._ask(name) for name in names))
        described = {name: each for name, each in zip(names, told, strict=True) if isinstance(each, Description)}
        return described, {name: each for name, each in zip(names, told, strict=True) if isinstance(each, str)}

    async def _ask(self, name: str) -> Description | str:
        try:
            return await self.of(name)
        except InferloomError as error:
            return str(error)
