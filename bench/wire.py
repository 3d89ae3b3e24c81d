"""The request that is sent, and the check that every path answers it rightly."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Sequence
from typing import Any

import grpc
from tritonclient.grpc import service_pb2

MODEL = "tiny"
METHOD = "/inference.GRPCInferenceService/ModelInfer"
VALUES = (1.0, 2.0, 3.0, 4.0)
CALLS = 5


def request(model: str = MODEL, values: Sequence[float] = VALUES) -> bytes:
    """A ModelInferRequest with `x` FP32 [1, n], four numbers by default."""
    message = service_pb2.ModelInferRequest(model_name=model)
    message.inputs.add(name="x", datatype="FP32", shape=[1, len(values)])
    message.raw_input_contents.append(struct.pack(f"<{len(values)}f", *values))
    encoded: bytes = message.SerializeToString()
    return encoded


def framed(message: bytes) -> bytes:
    """The message with gRPC's prefix: not compressed, length."""
    return b"\0" + struct.pack(">I", len(message)) + message


def doubled(reply: bytes) -> bool:
    """Whether the reply holds `y` = 2 * `x`."""
    return answered(reply) == tuple(2 * value for value in VALUES)


def answered(reply: bytes) -> tuple[float, ...]:
    """The numbers of a ModelInferResponse's only output; none where it has not one."""
    message = service_pb2.ModelInferResponse.FromString(reply)
    if len(message.raw_output_contents) != 1:
        return ()
    raw = message.raw_output_contents[0]
    return struct.unpack(f"<{len(raw) // 4}f", raw)


def check(
    address: str,
    alive: Callable[[], bool],
    wait_s: float = 30.0,
    message: bytes = b"",
    right: Callable[[bytes], bool] = doubled,
) -> bytes:
    """Wait until `address` answers, for as long as its process is alive, then ask it `CALLS` times; the reply.

    Without `message` the tiny model is asked. Replies may differ in their order of bytes, not in their numbers.

    Raises:
        RuntimeError: no answer within `wait_s` seconds, or a wrong one.
    """
    message = message or request()
    deadline = time.monotonic() + wait_s
    channel: Any = grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
    with channel:
        ask = channel.unary_unary(METHOD)
        while True:
            try:
                ask(message, timeout=2.0)
                break
            except grpc.RpcError as error:
                if time.monotonic() > deadline or not alive():
                    raise RuntimeError(f"{address} does not answer: {error.code().name} {error.details()}") from None
                time.sleep(0.05)
        replies: list[bytes] = [ask(message, timeout=2.0) for _ in range(CALLS)]
    reply = replies[-1]
    if not all(right(each) for each in replies) or len({len(each) for each in replies}) > 1:
        raise RuntimeError(f"{address} answers wrongly")
    return reply
