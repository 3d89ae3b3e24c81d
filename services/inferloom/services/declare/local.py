"""Running what was declared right here: in a test, a script or a notebook."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from inferloom.mesh.clock import SYSTEM
from inferloom.services.caller import using
from inferloom.services.context import CallContext, current
from inferloom.services.declare.outside import LocalCaller
from inferloom.services.declare.pending import scope
from inferloom.services.declare.resource import Resource

__all__ = ["run_here"]

R = TypeVar("R")
TIMEOUT = 30.0  # seconds, as a call has where its caller sets no deadline


def run_here(work: Callable[[], Coroutine[Any, Any, R]], *, module: str = "", replaced: Sequence[str] = ()) -> R:
    """Run it in an event loop of its own and wait; in a thread where a loop runs already.

    Args:
        module: the resources declared in it are open meanwhile.
        replaced: names that functions answer for, for the message where something else is called.
    """

    async def run() -> R:
        async with AsyncExitStack() as stack:
            caller = await stack.enter_async_context(LocalCaller(replaced))
            stack.enter_context(using(caller))
            for resource in _resources(module):
                if not resource.is_open:
                    stack.push_async_callback(resource.close)
                    await resource.open()
            token = current.set(CallContext(SYSTEM.now() + TIMEOUT))
            try:
                with scope():
                    return await work()
            finally:
                current.reset(token)

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(run())
    return _in_thread(lambda: asyncio.run(run()))


def _in_thread(work: Callable[[], R]) -> R:
    outcome: list[R] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(context.run(work))
        except BaseException as error:
            failure.append(error)

    context = contextvars.copy_context()
    thread = threading.Thread(target=run, name="run_local")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


def _resources(module: str) -> list[Resource[Any]]:
    found = vars(sys.modules[module]).values() if module in sys.modules else ()
    return [value for value in found if isinstance(value, Resource)]
