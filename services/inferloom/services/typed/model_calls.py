"""Calls of a model with arrays: ModelInfer and ModelStreamInfer through the embedded router."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, TypeVar

from grpc import StatusCode

from inferloom.clients.fit import Fitted
from inferloom.clients.request import build
from inferloom.clients.result import InferResult
from inferloom.clients.tensors import decode
from inferloom.mesh.call import Call, Reply
from inferloom.mesh.errors import InvalidInput, ReplicaError
from inferloom.mesh.oip import MODEL_INFER, pb
from inferloom.mesh.router.router import Router
from inferloom.services.proto.face import Face
from inferloom.services.typed.http_stream import model_answers
from inferloom.services.typed.model_elements import Array
from inferloom.services.typed.wire_raws import without_raws

__all__ = ["arrays_of", "off_loop", "request_call", "stream_arrays"]

T = TypeVar("T")
LARGE = 1 << 16  # bytes from which a reply is not given to protobuf as a whole
LONG = 4 << 20  # bytes that are read or written in a thread: others shall not wait for them


def request_call(call: Call, face: Face, arrays: Mapping[str, Array]) -> Call:
    """The call with its payload, a ModelInferRequest.

    Args:
        call: of the model; its method and payload are replaced.
        arrays: by the model's names; optional inputs may be absent.
    """
    datatypes = {binding.tensor.name: binding.tensor.datatype for binding in face.inputs}
    inputs = [Fitted(name, datatypes[name], array) for name, array in arrays.items()]
    return call._replace(method=MODEL_INFER.path, payload=build(call.model, call.version, inputs))


def arrays_of(reply: Reply) -> Mapping[str, Array]:
    """A model's outputs. ReplicaError where they cannot be read."""
    if len(reply.payload) >= LARGE:
        response, raws = without_raws(reply.payload)
        if len(raws) == len(response.outputs):
            # Views on the reply: protobuf would copy each tensor twice.
            pairs = zip(response.outputs, raws, strict=True)
            try:
                return {each.name: decode(raw, each.datatype, tuple(each.shape), each.name) for each, raw in pairs}
            except InvalidInput as error:
                raise ReplicaError(StatusCode.INTERNAL, f"the model's answer cannot be read: {error}") from None
    return InferResult(pb.ModelInferResponse.FromString(reply.payload))


async def stream_arrays(router: Router, call: Call) -> AsyncGenerator[Mapping[str, Array], None]:
    """The outputs of each answer of a decoupled model. Raises as `model_answers`."""
    stream = model_answers(router, call)
    try:
        async for response in stream:
            yield InferResult(response)
    finally:
        await stream.aclose()


async def off_loop(function: Callable[[Any], T], value: Any, size: int) -> T:
    """Call it here, or in a thread where it takes long.

    Args:
        size: bytes that it reads or writes.
    """
    return function(value) if size < LONG else await asyncio.to_thread(function, value)
