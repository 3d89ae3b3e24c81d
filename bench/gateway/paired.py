"""One at a time, by turns: what one way adds to another's median, call for call."""

from __future__ import annotations

import contextlib
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from statistics import median
from typing import Any

import grpc
from tritonclient.grpc import service_pb2

from bench.paths import HOST
from bench.wire import METHOD

__all__ = ["added", "asking", "wide"]

MIB = 1024 * 1024
Ask = Callable[[], object]
OPTIONS = [
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_send_message_length", 80 * MIB),
    ("grpc.max_receive_message_length", 80 * MIB),
]


def wide(model: str, size: int) -> bytes:
    """A ModelInferRequest with `x` FP32 [n] of `size` bytes."""
    message = service_pb2.ModelInferRequest(model_name=model)
    message.inputs.add(name="x", datatype="FP32", shape=[size // 4])
    message.raw_input_contents.append(struct.pack("<f", 1.5) * (size // 4))
    encoded: bytes = message.SerializeToString()
    return encoded


@contextlib.contextmanager
def asking(ports: Mapping[str, int], message: bytes, method: str = METHOD) -> Iterator[dict[str, Ask]]:
    """A call for each name, on a connection of its own."""
    with contextlib.ExitStack() as stack:
        asks: dict[str, Ask] = {}
        for name, port in ports.items():
            channel: Any = stack.enter_context(grpc.insecure_channel(f"{HOST}:{port}", options=OPTIONS))
            call = channel.unary_unary(method)
            asks[name] = lambda call=call: call(message, timeout=20.0)  # type: ignore[misc]
        yield asks


def added(first: Ask, second: Ask, calls: int) -> tuple[float, float]:
    """(median of `first` alone, what `second` adds to it), in milliseconds, of alternating calls; a tenth warms up."""
    took: tuple[list[float], list[float]] = ([], [])
    for number in range(calls + calls // 10):
        order = (0, 1) if number % 2 else (1, 0)
        for which in order:
            began = time.perf_counter()
            (first, second)[which]()
            if number >= calls // 10:
                took[which].append(time.perf_counter() - began)
    return median(took[0]) * 1e3, (median(took[1]) - median(took[0])) * 1e3
