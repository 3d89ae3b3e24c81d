"""Constant load: so many callers, each with one call at a time."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import grpc

__all__ = ["Load", "outcome_of"]

Send = Callable[[int], Awaitable[Any]]  # given the call's number, counted from 0


@dataclass(frozen=True, slots=True)
class Failure:
    number: int
    at: float  # seconds since the load began
    took: float  # seconds
    code: grpc.StatusCode
    message: str


@dataclass
class Load:
    """Calls `send` again and again from `callers` tasks, from `async with` until its end; calls under way may end.

    Args:
        send: makes one call.
        callers: calls under way at once.
    """

    send: Send
    callers: int
    sent: int = 0
    answered: int = 0
    failures: list[Failure] = field(default_factory=list)
    began: float = 0.0

    async def __aenter__(self) -> Load:
        self.began = time.monotonic()
        self._stopped = False
        self._tasks = [asyncio.create_task(self._call(), name=f"caller {n}") for n in range(self.callers)]
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._stopped = True
        await asyncio.gather(*self._tasks)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def codes(self) -> Counter[str]:
        return Counter(failure.code.name for failure in self.failures)

    async def until(self, condition: Callable[[], bool], timeout: float = 20.0) -> float:
        """Seconds until the condition held."""
        began = time.monotonic()
        while not condition():
            assert time.monotonic() - began < timeout, f"not within {timeout} s; {self!r}"
            await asyncio.sleep(0.02)
        return time.monotonic() - began

    async def _call(self) -> None:
        while not self._stopped:
            number, self.sent = self.sent, self.sent + 1
            began = time.monotonic()
            try:
                await self.send(number)
                self.answered += 1
            except grpc.aio.AioRpcError as error:
                now = time.monotonic()
                at = began - self.began
                self.failures.append(Failure(number, at, now - began, error.code(), error.details() or ""))


async def outcome_of(call: Awaitable[Any]) -> tuple[grpc.StatusCode, str]:
    """The status of a call: code and message."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details() or ""
    return grpc.StatusCode.OK, ""
