"""How handles reach what they call: through the host's own router, or through a mesh elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary

from inferloom.clients.metadata import ModelMetadata
from inferloom.clients.result import InferResult
from inferloom.mesh.call import Metadata
from inferloom.mesh.clock import Clock
from inferloom.mesh.errors import DeadlineExceeded
from inferloom.services.context import current

if TYPE_CHECKING:
    from inferloom.services.declare.inside import RouterCaller

__all__ = ["Caller", "RouterCaller", "inherited", "remaining", "set_caller", "the_caller", "using"]


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
    from inferloom.services.declare.outside import LocalCaller

    loop = asyncio.get_running_loop()
    outside = _outside.get(loop)
    if outside is None:
        outside = _outside[loop] = LocalCaller()
    return outside


def remaining(timeout: float | None, default: float, clock: Clock) -> float:
    """Seconds that a call may take: what was given, within what is left of the running call; else `default`.

    Raises:
        DeadlineExceeded: nothing is left.
    """
    context = current.get()
    if context is None:
        return default if timeout is None else timeout
    left = context.deadline - clock.now()
    if left <= 0:
        raise DeadlineExceeded("no time was left of the running call's deadline")
    return left if timeout is None else min(timeout, left)


def inherited(given: Mapping[str, Any] | None) -> Metadata:
    """The running call's metadata, with what is given on top."""
    context = current.get()
    running: Metadata = context.metadata if context is not None else ()
    if not given:
        return running
    own = {str(name).lower(): value if isinstance(value, bytes) else str(value) for name, value in given.items()}
    return (*(item for item in running if item[0] not in own), *own.items())


def __getattr__(name: str) -> Any:
    """`RouterCaller` is loaded when it is asked for: a test that replaces every handle needs no router."""
    if name != "RouterCaller":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from inferloom.services.declare.inside import RouterCaller

    return RouterCaller
