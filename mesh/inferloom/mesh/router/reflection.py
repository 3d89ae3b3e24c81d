"""Server reflection (v1alpha) that knows services which come and go beside those of the process's own descriptors."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Sequence
from typing import Any

from grpc_reflection.v1alpha import reflection
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionResponse

from inferloom.mesh.router.extra import Extra

__all__ = ["Reflection"]

_Static: Any = reflection.aio.ReflectionServicer  # type: ignore[attr-defined]


class Reflection:
    """A servicer.

    Args:
        names: of the services whose descriptors are in the default pool.
        extra: asked first about files and symbols.
    """

    def __init__(self, names: Sequence[str], extra: Sequence[Extra]) -> None:
        self._static = _Static(names)
        self._extra = extra

    async def ServerReflectionInfo(  # noqa: N802  # the protocol's name
        self, requests: AsyncIterable[Any], context: Any
    ) -> AsyncIterator[Any]:
        async for request in requests:
            yield await self._come_and_gone(request) or await self._known(request, context)

    async def _known(self, request: Any, context: Any) -> Any:
        async def once() -> AsyncIterator[Any]:
            yield request

        answers = [answer async for answer in self._static.ServerReflectionInfo(once(), context)]
        if request.HasField("list_services"):
            for name in sorted(name for extra in self._extra for name in extra.served.value):
                answers[0].list_services_response.service.add(name=name)
        return answers[0]

    async def _come_and_gone(self, request: Any) -> Any:
        """The answer about a file or symbol of an extra service; None where it is none of theirs."""
        for extra in self._extra:
            found = None
            if request.HasField("file_by_filename"):
                found = await extra.files(name=request.file_by_filename)
            elif request.HasField("file_containing_symbol"):
                found = await extra.files(symbol=request.file_containing_symbol)
            if found is not None:
                answer = ServerReflectionResponse(original_request=request)
                answer.file_descriptor_response.file_descriptor_proto.extend(found)
                return answer
        return None
