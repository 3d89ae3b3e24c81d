"""A step that is a Python function, run where it does no harm.

async def       in the event loop
def             in a thread; one that runs past its deadline is no longer waited for
inline=True     in the event loop, without further ado
cpus=1 and up   in a process of a pool (pool.py); one that runs past its deadline is ended
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import structlog
from grpc import StatusCode

from inferloom.mesh.clock import Clock
from inferloom.mesh.errors import DeadlineExceeded, InferloomError, ReplicaError
from inferloom.mesh.policy import Retrying
from inferloom.mesh.resilience.budget import RetryBudget
from inferloom.mesh.telemetry.tracing_span import carried
from inferloom.services.composer.batcher import call_at
from inferloom.services.composer.pool import Pools
from inferloom.services.composer.run import Frame
from inferloom.services.context import CallContext, current
from inferloom.services.declare.step import StepDeclaration
from inferloom.services.tensor import Tensor, Tensors

__all__ = ["FunctionCallee"]

log = structlog.get_logger(__name__)


class FunctionCallee:
    """Runs one declared function.

    Args:
        pools: where functions with `cpus` run.
    """

    def __init__(self, step: StepDeclaration, clock: Clock, pools: Pools) -> None:
        self.label = f"step '{step.name}'"
        self.step = step
        self._types = step.types
        self._clock = clock
        self._pools = pools
        self._budget = RetryBudget(Retrying(), clock.now())
        self._runs: Callable[[dict[str, Any], float], Awaitable[Any]] = self._thread
        if step.is_async:
            self._runs = self._loop
        elif step.inline:
            self._runs = self._inline
        elif step.cpus:
            self._runs = self._process

    async def call(self, tensors: Tensors, frame: Frame, deadline: float) -> Mapping[str, Tensor]:
        """Its outputs.

        Raises:
            InvalidInput: a tensor does not fit its annotations.
            DeadlineExceeded: it took longer.
            ReplicaError: UNKNOWN, with the type and message of what it raised.
        """
        self._budget.earn()
        arguments = self._types.arguments(tensors)
        token = current.set(CallContext(deadline, carried(frame.metadata)))
        try:
            return dict(self._types.result(await self._runs(arguments, deadline)))
        except InferloomError:
            raise
        except Exception as error:
            log.error("step failed", step=self.step.reference, exc_info=error)
            raise ReplicaError(StatusCode.UNKNOWN, f"{type(error).__name__}: {error}") from error
        finally:
            current.reset(token)

    def repeatable(self) -> bool:
        """A step has no effects: that is what services are for."""
        return True

    def spend(self, now: float) -> bool:
        return self._budget.spend(now)

    async def _inline(self, arguments: dict[str, Any], deadline: float) -> Any:
        return self.step.function(**arguments)

    async def _loop(self, arguments: dict[str, Any], deadline: float) -> Any:
        task = asyncio.ensure_future(self.step.function(**arguments))
        return await self._bounded(task, deadline)

    async def _thread(self, arguments: dict[str, Any], deadline: float) -> Any:
        task = asyncio.ensure_future(asyncio.to_thread(self.step.function, **arguments))
        return await self._bounded(task, deadline)

    async def _process(self, arguments: dict[str, Any], deadline: float) -> Any:
        pool = self._pools.of(self.step)
        return await pool.run(self.step.reference, arguments, deadline)

    async def _bounded(self, task: asyncio.Future[Any], deadline: float) -> Any:
        late = False

        def expire() -> None:
            nonlocal late
            late = True
            task.cancel()

        timer = call_at(self._clock, deadline, expire)
        try:
            return await task
        except asyncio.CancelledError:
            if late and not _cancelling():
                raise DeadlineExceeded("it took longer than it had") from None
            raise
        except StopIteration as error:  # no coroutine may raise it
            raise RuntimeError(f"StopIteration: {error}") from error
        finally:
            timer.cancel()
            if not task.done():
                task.cancel()


def _cancelling() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
