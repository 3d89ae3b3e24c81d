"""A server that answers the Open Inference Protocol as it is told: for faults that a real one cannot be made to have."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc

from inferloom.mesh.oip import MODEL_INFER, MODEL_STREAM_INFER, pb

__all__ = ["Faulty", "answering", "failing", "silent"]

Behaviour = Callable[["Faulty", Any, Any], Awaitable[Any]]
MIB = 1 << 20


async def answering(server: Faulty, request: Any, context: Any) -> Any:
    """Its name as `id`, and what the message said."""
    return pb.ModelInferResponse(id=server.name, model_name=request.model_name, model_version=request.model_version)


async def silent(server: Faulty, request: Any, context: Any) -> Any:
    """No answer, until the server is told to answer or the caller goes away."""
    await server.told.wait()
    return await answering(server, request, context)


def failing(code: grpc.StatusCode, *trailing: tuple[str, str]) -> Behaviour:
    """An error of this code."""

    async def behaviour(server: Faulty, request: Any, context: Any) -> Any:
        await context.abort(code, f"{server.name} says {code.name}", trailing)

    return behaviour


class Faulty(grpc.GenericRpcHandler):  # type: ignore[type-arg]
    """One server. Every other method than inference is answered by the server's name as bytes.

    Attributes:
        seen: requests that reached it.
        asked: paths of other methods that reached it.
        metadata: of the last request.
        behaviour: what it does with requests from now on.
        told: set where silent ones shall answer.
    """

    def __init__(self, name: str, behaviour: Behaviour = answering) -> None:
        self.name = name
        self.behaviour = behaviour
        self.seen = 0
        self.asked: list[str] = []
        self.metadata: dict[str, str] = {}
        self.answers: dict[str, bytes] = {}  # of other methods, by path
        self.told = asyncio.Event()
        self.port = 0
        self._server: Any = None

    async def start(self) -> Faulty:
        """Listen: on a free port, later on the same one again."""
        self._server = grpc.aio.server(
            options=[("grpc.max_receive_message_length", 80 * MIB), ("grpc.so_reuseport", 0)]
        )
        self._server.add_generic_rpc_handlers((self,))
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self._server.start()
        return self

    async def stop(self) -> None:
        """As if it had been killed: connections close, calls in flight are lost."""
        await self._server.stop(None)

    async def __aenter__(self) -> Faulty:
        return await self.start()

    async def __aexit__(self, *exception: object) -> None:
        await self.stop()

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        path = handler_call_details.method
        self.metadata = {key: str(value) for key, value in handler_call_details.invocation_metadata or ()}
        if path == MODEL_INFER.path:
            return grpc.unary_unary_rpc_method_handler(self._infer)
        if path == MODEL_STREAM_INFER.path:
            return grpc.stream_stream_rpc_method_handler(self._stream)
        self.asked.append(path)
        return grpc.unary_unary_rpc_method_handler(self._other(path))

    async def _infer(self, request: bytes, context: Any) -> bytes:
        self.seen += 1
        answer = await self.behaviour(self, pb.ModelInferRequest.FromString(request), context)
        return bytes(answer.SerializeToString())

    async def _stream(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            self.seen += 1
            answer = await self.behaviour(self, pb.ModelInferRequest.FromString(request), context)
            yield pb.ModelStreamInferResponse(infer_response=answer).SerializeToString()

    def _other(self, path: str) -> Callable[[bytes, Any], Awaitable[bytes]]:
        async def answer(request: bytes, context: Any) -> bytes:
            return self.answers.get(path, self.name.encode())

        return answer
