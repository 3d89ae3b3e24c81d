"""Constant load on all models of the demo: callers that each wait for their answer, then ask again."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any

import numpy as np

from inferloom.sdk import InferloomError, MeshClient

FAST = ("digits-forest", "digits-svm", "digits-mlp")
CALLERS_FAST = 2  # of each fast model
CALLERS_SLOW = 6  # of the model that takes a second, so some are always in flight
PAUSE = 0.02  # seconds between two requests of one caller


class Load:
    """Runs while the `async with` block does; every request is waited for."""

    def __init__(self, client: MeshClient, pixels: np.ndarray[Any, np.dtype[np.float32]]) -> None:
        self._client = client
        self._pixels = pixels
        self._running = True
        self._callers: list[asyncio.Task[None]] = []
        self._seconds: list[float] = []
        self.sent = 0
        self.failures: list[str] = []

    async def __aenter__(self) -> Load:
        models = [name for name in FAST for _ in range(CALLERS_FAST)] + ["digits-slow"] * CALLERS_SLOW
        self._callers = [asyncio.create_task(self._call(name, number)) for number, name in enumerate(models)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running = False
        await asyncio.gather(*self._callers)

    async def _call(self, model: str, number: int) -> None:
        loop = asyncio.get_running_loop()
        while self._running:
            number = (number + 17) % len(self._pixels)
            self.sent += 1
            began = loop.time()
            try:
                await self._client.infer(model, {"pixels": self._pixels[number : number + 1]})
            except InferloomError as error:
                self.failures.append(f"{model}: {type(error).__name__}: {error}")
            self._seconds.append(loop.time() - began)
            await asyncio.sleep(PAUSE)

    @property
    def slowest(self) -> float:
        return max(self._seconds, default=0.0)

    def percentile(self, share: float) -> float:
        return float(np.quantile(self._seconds, share)) if self._seconds else 0.0
