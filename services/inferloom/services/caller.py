"""How handles reach what they call: through the host's own router, or through a mesh elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from inferloom.clients.metadata import ModelMetadata
from inferloom.clients.result import InferResult

__all__ = ["Caller", "set_caller", "the_caller", "using"]


class Caller(Protocol):
    """Calls models by name. Deadline and metadata are those of the running call (`context.current`) and what is given."""

    async def infer(
        self,
        model: str,
        inputs: Any,
        *,
        version: str = "",
        timeout: float | None = None,
        metadata: Mapping[str, Any] | None = None,
        outputs: Sequence[str] = (),
        parameters: Mapping[str, Any] | None = None,
    ) -> InferResult: ...

    def stream(
        self,
        model: str,
        inputs: Any,
        *,
        version: str = "",
        timeout: float | None = None,
        metadata: Mapping[str, Any] | None = None,
        outputs: Sequence[str] = (),
        parameters: Mapping[str, Any] | None = None,
    ) -> AsyncGenerator[InferResult]:
        """One request, any number of answers."""

    async def metadata(self, model: str, version: str = "") -> ModelMetadata: ...


_host: Caller | None = None
_here: ContextVar[Caller | None] = ContextVar("inferloom_caller", default=None)
_outside: WeakKeyDictionary[asyncio.AbstractEventLoop, Caller] = WeakKeyDictionary()


def set_caller(caller: Caller | None) -> None:
    """The caller of this process: a host sets it before it serves."""
    global _host
    _host = caller


@contextmanager
def using(caller: Caller) -> Iterator[None]:
    """Another caller within this context."""
    token = _here.set(caller)
    try:
        yield
    finally:
        _here.reset(token)


def the_caller() -> Caller:
    """The one of this context, else of this process, else a client of $INFERLOOM_MESH or 127.0.0.1:8081."""
    caller = _here.get() or _host
    if caller is not None:
        return caller
    from inferloom.services.declare.outside import (
        LocalCaller,  # it imports the client: 20 MB that a host has no use for
    )

    loop = asyncio.get_running_loop()
    outside = _outside.get(loop)
    if outside is None:
        outside = _outside[loop] = LocalCaller()
    return outside
