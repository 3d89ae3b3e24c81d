"""A stack with the split layer over fake channels."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import Any

from inferloom.mesh.call import Call, Reply
from inferloom.mesh.catalog import Replica
from inferloom.mesh.oip import pb
from inferloom.mesh.registry.base import Document
from inferloom.mesh.router.splitting import Splitting
from inferloom.mesh.router.stack import assemble
from inferloom.mesh.split import KIND
from inferloom.mesh.splits.exposure import Exposure, Exposures
from inferloom.mesh.splits.figures import ArmFigures
from inferloom.mesh.telemetry.tracing import Tracing
from tests.unit.mesh.fakes import Answer, FakeMesh, Sent, replica

HALVES = {"arms": [{"name": "1", "share": 50}, {"name": "2", "share": 50}], "by": "user"}
MIRRORED = {"arms": [{"name": "1", "share": 1}, {"name": "2", "mirror": True}]}


class SplitMesh(FakeMesh):
    """Replica `a` serves versions 1 and 2, unless others are given."""

    def __init__(
        self,
        spec: Mapping[str, Any] | None = HALVES,
        replicas: tuple[Replica, ...] = (replica("a", versions=("1", "2")),),
        answers: dict[str, Answer] | None = None,
        *,
        seed: int = 1,
        most: int = 1 << 20,
    ) -> None:
        super().__init__(replicas, answers, seed=seed, most=most)
        self.exposures = Exposures()
        self.recorded: list[Exposure] = []
        self.splitting = Splitting(self.pool, self.admission, self.clock, random.Random(seed), self.exposures)
        self.handle = assemble(
            self.pool, self.admission, self.clock, random.Random(seed), self.metrics, Tracing(), self.splitting
        )
        self.documents: dict[tuple[str, str], Document] = {}
        if spec is not None:
            self.write(spec)

    def record(self, exposure: Exposure) -> None:
        self.recorded.append(exposure)

    def write(self, spec: Mapping[str, Any] | None, name: str = "iris", version: int = 1) -> None:
        """Have this document, or none."""
        documents = {key: document for key, document in self.documents.items() if key != (KIND, name)}
        if spec is not None:
            documents[KIND, name] = Document(KIND, name, spec, version, "me@here", 0.0)
        self.documents = documents
        self.splitting.apply(documents)

    def figures(self, arm: str, name: str = "iris") -> ArmFigures:
        live = self.splitting.splits[name]
        return live.figures.of(next(each for each in live.split.arms if each.name == arm))

    def versions(self, key: str = "a") -> list[str]:
        """The versions that a replica was asked for, copies for mirrors included."""
        return [version_of(sent) for sent in self.channel(key).sent]

    async def user(self, name: str, **changes: Any) -> Reply:
        return await self.ask(metadata=(("user", name),), **changes)

    async def mirrors_done(self) -> None:
        """Wait for what compares answers in the background."""
        while self.splitting._mirrors._tasks:
            await self.run(asyncio.sleep(0))
            await self.clock.advance(0.05)


def version_of(sent: Sent) -> str:
    return str(pb.ModelInferRequest.FromString(sent.payload).model_version)


def named(call: Call, request_id: str) -> bytes:
    """The call's payload with a request id."""
    request = pb.ModelInferRequest.FromString(call.payload)
    request.id = request_id
    return bytes(request.SerializeToString())
