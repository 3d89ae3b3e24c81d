"""Streams: requests one way, answers the other as they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any, Literal

import grpc
from grpc.aio import EOF  # type: ignore[attr-defined]  # not in its stubs

from inferloom.clients.faults import message_error
from inferloom.clients.result import InferResult
from inferloom.clients.transport import Transport

__all__ = ["InferStream", "OnError", "Requests"]

Requests = Any  # the inputs of one request (a mapping), or an iterable or async iterable of them
OnError = Literal["raise", "yield"]
Encode = Callable[[Any, str], Awaitable[bytes]]


class InferStream(AsyncIterator[InferResult]):
    """The answers of a stream, in the order in which they come. Made by `MeshClient.stream`.

    Request ids are "0", "1", ... in the order of the requests; an answer's `id` says which one it belongs to. The
    stream ends when the requests have ended and the server has sent its last answer; `aclose` (or `async with`) ends
    it sooner.

    An error of one message leaves the stream alive. With on_error="raise" it is raised and the next `async for` (or
    `anext`) over the same object goes on; with "yield" it comes as a result whose `error` is set.
    """

    def __init__(
        self, transport: Transport, open_call: Callable[[], Any], encode: Encode, requests: Requests, model: str,
        timeout: float | None, on_error: OnError,
    ) -> None:  # fmt: skip
        self._transport = transport
        self._open_call = open_call
        self._encode = encode
        self._requests = requests
        self._model = model
        self._timeout = timeout
        self._on_error = on_error
        self._call: Any = None
        self._writer: asyncio.Task[None] | None = None
        self._ended = False

    def __aiter__(self) -> InferStream:
        return self

    async def __anext__(self) -> InferResult:
        if self._ended:
            raise StopAsyncIteration
        if self._call is None:
            self._call = self._open_call()
            self._writer = asyncio.create_task(_write(self._call, self._requests, self._encode))
        message = await self._read()
        if message is EOF:
            await self._end()
            raise StopAsyncIteration
        if not message.error_message:
            return InferResult(message.infer_response)
        error = message_error(message.error_message)
        if self._on_error == "raise":
            raise error
        return InferResult(message.infer_response, error=error)

    async def _read(self) -> Any:
        try:
            return await self._call.read()
        except grpc.aio.AioRpcError as rpc:
            await self._end(failed=True)
            raise self._transport.error(rpc, self._model, self._timeout) from None
        except asyncio.CancelledError:
            # It was the writer that gave up (a wrong request, an error in the caller's own iterator), or the caller.
            task = asyncio.current_task()
            ours = task is not None and task.cancelling()
            await self._end(failed=bool(ours))
            if not ours:
                self._transport.cancelled()
            raise

    async def _end(self, *, failed: bool = False) -> None:
        """Ends both directions; raises what went wrong with the requests, unless something else already has."""
        self._ended = True
        writer, self._writer = self._writer, None
        if self._call is not None:
            self._call.cancel()
        if writer is None:
            return
        if not writer.done():
            writer.cancel()
        (outcome,) = await asyncio.gather(writer, return_exceptions=True)
        if isinstance(outcome, Exception) and not failed:
            raise outcome

    async def aclose(self) -> None:
        """Cancel what is under way. Safe to call more than once."""
        await self._end(failed=True)

    async def __aenter__(self) -> InferStream:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        """Left by `break`: grpc.aio would keep the call, and the server would go on answering."""
        call, writer = getattr(self, "_call", None), getattr(self, "_writer", None)
        if call is None or writer is None or writer.get_loop().is_closed():
            return
        loop = writer.get_loop()  # the collector may run in any thread
        loop.call_soon_threadsafe(writer.cancel)
        loop.call_soon_threadsafe(call.cancel)


async def _write(call: Any, requests: Requests, encode: Encode) -> None:
    try:
        number = 0
        async for inputs in _each(requests):
            await call.write(await encode(inputs, str(number)))
            number += 1
        await call.done_writing()
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
        return  # the call is over, and reading says why
    except BaseException:
        call.cancel()
        raise


async def _each(requests: Requests) -> AsyncIterator[Any]:
    if isinstance(requests, AsyncIterable):
        async for inputs in requests:
            yield inputs
    elif isinstance(requests, Mapping) or not isinstance(requests, Iterable) or hasattr(requests, "__array__"):
        yield requests
    else:
        for inputs in requests:
            yield inputs
