"""Callers outside the mesh: ordinary clients of Triton, each with one request at a time, from threads."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from tritonclient.grpc import InferenceServerClient, InferInput, InferResult
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

__all__ = ["Callers", "ask", "tensor"]

ROW = [5.1, 3.5, 1.4, 0.2]
PAUSE = 0.005  # seconds between two requests of one caller: two cores have other work, too


def tensor(name: str, values: Any, kind: type[np.generic] = np.float32) -> InferInput:
    array = np.array(values, kind)
    one = InferInput(name, array.shape, np_to_triton_dtype(array.dtype))
    one.set_data_from_numpy(array)
    return one


def ask(address: str, model: str, inputs: list[InferInput], version: str = "", timeout: float = 20.0) -> InferResult:
    """One request over a connection of its own."""
    client = InferenceServerClient(address)
    try:
        return client.infer(model, inputs, model_version=version, client_timeout=timeout)
    finally:
        client.close()


@dataclass(frozen=True, slots=True)
class Failure:
    at: float  # seconds since the callers began
    text: str


class Callers:
    """Constant load on one model from `with` to its end.

    Args:
        inputs: of every request.
        output: the output whose values are counted in `values`.
        patience: seconds for which a caller repeats a request that was UNAVAILABLE, as an ordinary client would; 0: never.
    """

    def __init__(
        self,
        address: str,
        model: str = "iris",
        inputs: list[InferInput] | None = None,
        *,
        output: str = "",
        version: str = "",
        callers: int = 2,
        patience: float = 0.0,
    ) -> None:
        self._address, self._model, self._version = address, model, version
        self._inputs = inputs or [tensor("X", [ROW])]
        self._output = output
        self._patience = patience
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._call, name=f"caller {n}") for n in range(callers)]
        self._began = 0.0
        self.answered = 0
        self.repeated = 0
        self.failures: list[Failure] = []
        self.values: Counter[float] = Counter()

    def __enter__(self) -> Callers:
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def __repr__(self) -> str:
        return f"{self.answered} answered, {self.repeated} repeated, {len(self.failures)} failed: {self.failures[:5]}"

    def after(self, more: int, seconds: float = 20.0) -> None:
        """Wait until so many more have been answered."""
        wanted, end = self.answered + more, time.monotonic() + seconds
        while self.answered < wanted:
            assert time.monotonic() < end, f"no {more} answers within {seconds:g} s; {self}"
            time.sleep(0.02)

    def _call(self) -> None:
        # Back within a second, as the mesh's own client; gRPC's default grows to two minutes.
        client = InferenceServerClient(self._address, channel_args=[("grpc.max_reconnect_backoff_ms", 1000)])
        try:
            while not self._stop.is_set():
                self._one(client)
                time.sleep(PAUSE)
        finally:
            client.close()

    def _one(self, client: InferenceServerClient) -> None:
        until = time.monotonic() + self._patience
        while True:
            try:
                result = client.infer(self._model, self._inputs, model_version=self._version, client_timeout=20)
            except InferenceServerException as error:
                if error.status() == "StatusCode.UNAVAILABLE" and time.monotonic() < until:
                    self.repeated += 1
                    time.sleep(0.1)
                    continue
                self.failures.append(Failure(time.monotonic() - self._began, f"{error.status()} {error.message()}"))
            else:
                self.answered += 1
                if self._output:
                    self.values[float(result.as_numpy(self._output).ravel()[0])] += 1
            return
