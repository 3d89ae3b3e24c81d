"""JSON for models in a Triton: it is read here, by the model's typed face."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from inferloom.mesh.call import Call, Reply
from inferloom.mesh.router.router import Router
from inferloom.services.typed.model_calls import arrays_of, off_loop, request_call, stream_arrays
from inferloom.services.typed.served import Served

__all__ = ["answer_model", "read_model", "stream_model"]


async def read_model(served: Served, call: Call, body: bytes) -> Call:
    """The call with the body's tensors. InvalidInput names the path of each fault, up to five."""
    arrays = await off_loop(served.json.read, body, len(body))
    return request_call(call, served.face, arrays)


async def answer_model(router: Router, served: Served, call: Call) -> tuple[bytes, Reply]:
    """The answer as JSON, and the reply that it was made of. Raises as the router; ReplicaError for what cannot be read."""
    reply = await router(call)
    return await off_loop(served.json.write, arrays_of(reply), len(reply.payload)), reply


async def stream_model(router: Router, served: Served, call: Call) -> AsyncGenerator[bytes, None]:
    """The JSON of each answer of a decoupled model."""
    stream = stream_arrays(router, call)
    try:
        async for arrays in stream:
            yield served.json.write(arrays)
    finally:
        await stream.aclose()
