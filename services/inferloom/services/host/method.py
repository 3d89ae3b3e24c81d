"""A method of a service as something that answers like a model."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from inferloom.mesh.catalog import Kind, Repeat
from inferloom.mesh.errors import InvalidInput, Unsupported
from inferloom.services.answerer import Description
from inferloom.services.context import CallContext
from inferloom.services.host.gate import Gate
from inferloom.services.host.work import Work
from inferloom.services.signature import Signature
from inferloom.services.tensor import from_request, to_response
from inferloom.services.typed.types import Types

__all__ = ["MethodAnswerer"]


class MethodAnswerer:
    """Implements `Answerer`.

    Args:
        name: in the catalog: the service's, or "Service.method" where it is not the default one.
        function: bound to the service's instance.
        types: of its arguments and result.
        gate: of the whole service.
    """

    kind = Kind.SERVICE

    def __init__(
        self,
        name: str,
        version: str,
        repeat: Repeat,
        function: Callable[..., Any],
        types: Types,
        gate: Gate,
        work: Work,
    ) -> None:
        self.name = name
        self.version = version
        self.repeat = repeat
        self._function = function
        self._types = types
        self._gate = gate
        self._work = work

    @property
    def signature(self) -> Signature:
        return self._types.signature

    async def infer(self, request: Any, context: CallContext) -> Any:
        self._refuse(streams=False)
        arguments = self._types.arguments(from_request(request))
        wanted = self._wanted(request)
        with self._gate:
            value = await self._work.call(self._function, arguments, context, self.name)
        return self._response(value, request, wanted)

    async def stream(self, request: Any, context: CallContext) -> AsyncGenerator[Any, None]:
        self._refuse(streams=True)
        arguments = self._types.arguments(from_request(request))
        wanted = self._wanted(request)
        with self._gate:
            async with aclosing(self._work.stream(self._function, arguments, context, self.name)) as values:
                async for value in values:
                    yield self._response(value, request, wanted)

    async def call_json(self, body: bytes, context: CallContext) -> bytes:
        self._refuse(streams=False)
        arguments = self._types.arguments_json(body)
        with self._gate:
            value = await self._work.call(self._function, arguments, context, self.name)
        return self._types.result_json(value)

    async def stream_json(self, body: bytes, context: CallContext) -> AsyncGenerator[bytes, None]:
        self._refuse(streams=True)
        arguments = self._types.arguments_json(body)
        with self._gate:
            async with aclosing(self._work.stream(self._function, arguments, context, self.name)) as values:
                async for value in values:
                    yield self._types.result_json(value)

    def describe(self) -> Description:
        owner = getattr(self._function, "__self__", None)
        text = inspect.getdoc(self._function) or ((owner is not None and type(owner).__doc__) or "")
        described = self._types.description(inspect.cleandoc(text).partition("\n\n")[0])
        return replace(described, method=getattr(self._function, "__name__", ""))

    def _refuse(self, *, streams: bool) -> None:
        if streams and not self.signature.streams:
            raise Unsupported(f"'{self.name}' answers once: call it without a stream")
        if self.signature.streams and not streams:
            raise Unsupported(
                f"'{self.name}' answers with a stream: call it with ModelStreamInfer, or POST its JSON as a stream"
            )

    def _wanted(self, request: Any) -> frozenset[str]:
        """The outputs that were asked for; all where none is named."""
        wanted = frozenset(output.name for output in request.outputs)
        known = [spec.name for spec in self.signature.outputs]
        for name in wanted.difference(known):
            raise InvalidInput(f"no output '{name}'; {self.name} gives {', '.join(known) or 'nothing'}")
        return wanted

    def _response(self, value: Any, request: Any, wanted: frozenset[str]) -> Any:
        outputs = self._types.result(value)
        if wanted:
            outputs = [(name, tensor) for name, tensor in outputs if name in wanted]
        return to_response(outputs, self.name, self.version, request.id)
