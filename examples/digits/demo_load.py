"""Constant load on the models of the demo and on the vote: callers that each wait for their answer, then ask again."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any

import numpy as np
import png

from inferloom.sdk import InferloomError, MeshClient

FAST = ("digits-forest", "digits-svm", "digits-mlp")
CALLERS_FAST = 2  # of each fast model
PIPELINE = "digits"  # three of the models vote; two are enough
CALLERS_PIPELINE = 2
CALLERS_SLOW = 6  # of the model that takes a second, so some are always in flight


class Load:
    """Runs while the `async with` block does; every request is waited for.

    Args:
        pause: seconds between two requests of one caller.
    """

    def __init__(self, client: MeshClient, pixels: np.ndarray[Any, np.dtype[np.float32]], pause: float) -> None:
        self._client = client
        self._pixels = pixels
        self._pause = pause
        self._running = True
        self._callers: list[asyncio.Task[None]] = []
        self._seconds: list[float] = []
        self.sent = 0
        self.failures: list[str] = []
        self.votes = 0  # answers of the pipeline
        self.incomplete = 0  # of them, those that one member was missing from

    async def __aenter__(self) -> Load:
        models = [name for name in FAST for _ in range(CALLERS_FAST)] + ["digits-slow"] * CALLERS_SLOW
        models += [PIPELINE] * CALLERS_PIPELINE
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
                answer = await self._client.infer(model, self._inputs(model, self._pixels[number]))
                if model == PIPELINE:
                    self.votes += 1
                    self.incomplete += "vote.late" in answer.parameters or "vote.failed" in answer.parameters
            except InferloomError as error:
                self.failures.append(f"{model}: {type(error).__name__}: {error}")
            self._seconds.append(loop.time() - began)
            await asyncio.sleep(self._pause)

    @staticmethod
    def _inputs(model: str, pixels: np.ndarray[Any, np.dtype[np.float32]]) -> dict[str, Any]:
        if model == PIPELINE:
            return {"png": np.array([png.encode(pixels)], object)}
        return {"pixels": pixels[None]}

    @property
    def slowest(self) -> float:
        return max(self._seconds, default=0.0)

    def percentile(self, share: float) -> float:
        return float(np.quantile(self._seconds, share)) if self._seconds else 0.0
