"""A plain caller of the Open Inference Protocol, and the requests of the models in tests/data/repository."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
from tritonclient.grpc import service_pb2_grpc

from inferloom.mesh.oip import pb

__all__ = ["EOF", "Talk", "echo_request", "infer_request", "read", "slow_request", "stub", "token_request"]

TYPES = {"float32": "FP32", "int32": "INT32"}
EOF = grpc.aio.EOF  # type: ignore[attr-defined]

Array = npt.NDArray[Any]


@asynccontextmanager
async def stub(
    address: str, *, most: int = -1, credentials: grpc.ChannelCredentials | None = None
) -> AsyncIterator[Any]:
    """A plain stub of the Open Inference Protocol; `stub.channel` is its channel."""
    options = [
        ("grpc.max_send_message_length", most),
        ("grpc.max_receive_message_length", -1),
        ("grpc.use_local_subchannel_pool", 1),
    ]
    if credentials is None:
        channel = grpc.aio.insecure_channel(address, options=options)
    else:
        channel = grpc.aio.secure_channel(address, credentials, options=options)
    async with channel:
        face = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        face.channel = channel
        yield face


def infer_request(
    model: str, request_id: str = "", parameters: Mapping[str, int | bool | str] = {}, **inputs: Any
) -> Any:
    """A ModelInferRequest. An input is an array or a list: of float32, or of int32 where all are int."""
    request = pb.ModelInferRequest(model_name=model, id=request_id)
    for name, value in inputs.items():
        array = value if isinstance(value, np.ndarray) else _array(value)
        request.inputs.add(name=name, datatype=TYPES[str(array.dtype)], shape=array.shape)
        request.raw_input_contents.append(array.tobytes())
    for key, value in parameters.items():
        kind = "bool_param" if isinstance(value, bool) else "string_param" if isinstance(value, str) else "int64_param"
        setattr(request.parameters[key], kind, value)
    return request


def slow_request(seconds: float, key: int, **more: Any) -> Any:
    """One for the model `slow`."""
    return infer_request("slow", seconds=np.array([[seconds]], np.float32), key=np.array([[key]], np.int32), **more)


def echo_request(values: Iterable[float] = (1.0, 2.0), model: str = "echo", **more: Any) -> Any:
    return infer_request(model, x=np.array([list(values)], np.float32), **more)


def token_request(count: int, seconds: float = 0.0, request_id: str = "") -> Any:
    """One for the decoupled model `tokens`."""
    times, pause = np.array([count], np.int32), np.array([seconds], np.float32)
    return infer_request("tokens", request_id, count=times, seconds=pause)


def read(answer: Any, index: int = 0) -> list[float]:
    """The values of an answer's output, flat."""
    kind = np.int32 if answer.outputs[index].datatype == "INT32" else np.float32
    return np.frombuffer(answer.raw_output_contents[index], kind).tolist()  # type: ignore[no-any-return]


def _array(value: Any) -> Array:
    flat = np.array(value)
    return flat.astype(np.int32 if flat.dtype.kind == "i" else np.float32)


class Talk:
    """One stream, message by message."""

    def __init__(self, face: Any, timeout: float | None = None, metadata: Any = None) -> None:
        more = {} if metadata is None else {"metadata": metadata}
        self.call = face.ModelStreamInfer(timeout=timeout, **more)

    async def __aenter__(self) -> Talk:
        return self

    async def __aexit__(self, *exception: object) -> None:
        self.call.cancel()

    async def say(self, request: Any) -> None:
        await self.call.write(request)

    async def hear(self) -> Any:
        """The next answer."""
        answer = await asyncio.wait_for(self.call.read(), 10)
        assert answer is not EOF, f"the stream ended: {await self.call.code()}"
        return answer
