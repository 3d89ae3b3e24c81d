"""Calls on one channel: deadline, token and metadata on the way out, typed errors on the way back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import grpc

from inferloom.clients.channel import Endpoint
from inferloom.clients.faults import Pairs, error_of, pairs
from inferloom.mesh.errors import DeadlineExceeded, Exhausted, InferloomError, InvalidInput

__all__ = ["Metadata", "Transport"]

Metadata = Mapping[str, Any] | Iterable[tuple[str, Any]]  # bytes for names that end in -bin, text for others


class Transport:
    """The channel, made at the first call and bound to that call's event loop.

    Args:
        endpoint: where to, and how.
        token: sent as `authorization: Bearer ...` with each call.
    """

    def __init__(self, endpoint: Endpoint, token: str | None = None) -> None:
        self.endpoint = endpoint
        self._token = token
        self._channel: Any = None  # a grpc.aio.Channel, whose stubs ask for arguments that have defaults
        self._methods: dict[str, Any] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    async def close(self) -> None:
        self._closed = True
        if self._channel is not None:
            channel, self._channel = self._channel, None
            await channel.close()

    async def unary(
        self,
        path: str,
        payload: bytes,
        answer: Any,
        *,
        timeout: float,
        metadata: Metadata | None = None,
        model: str = "",
    ) -> tuple[Any, Pairs]:
        """One call: the answer, and its trailing metadata. Cancelling the task that awaits it cancels the call.

        Args:
            path: "/package.Service/Method".
            payload: the serialised request.
            answer: the message class of the answer.
            timeout: seconds from now.
            model: the model the call is about, for messages.

        Raises:
            InferloomError: see `inferloom.clients.faults`.
        """
        if timeout <= 0:
            raise DeadlineExceeded(f"no time was left to ask {model or self.endpoint.address}")
        self.check_size(payload)
        channel = self._connected()
        method = self._methods.get(path)
        if method is None:
            method = self._methods[path] = channel.unary_unary(path, response_deserializer=answer.FromString)
        call = method(payload, timeout=timeout, metadata=self._headers(metadata))
        try:
            return await call, pairs(await call.trailing_metadata())
        except grpc.aio.AioRpcError as rpc:
            raise self.error(rpc, model, timeout) from None
        except asyncio.CancelledError:
            self.cancelled()
            raise

    def stream(self, path: str, answer: Any, *, timeout: float | None, metadata: Metadata | None) -> Any:
        """A bidirectional stream of serialised requests and `answer` messages; no deadline where timeout is None."""
        method = self._connected().stream_stream(path, response_deserializer=answer.FromString)
        return method(timeout=timeout, metadata=self._headers(metadata))

    def error(self, rpc: grpc.aio.AioRpcError, model: str, timeout: float | None) -> InferloomError:
        return error_of(rpc, model=model, address=self.endpoint.address, timeout=timeout)

    def cancelled(self) -> None:
        """Tells the caller's own cancellation from a client that was closed under its calls: raises for the latter."""
        task = asyncio.current_task()
        if self._closed and task is not None and not task.cancelling():
            raise InferloomError("the client was closed while the call was under way") from None

    def check_size(self, payload: bytes) -> None:
        """Exhausted ("size") where the message is over this client's bound."""
        bound = self.endpoint.max_message_bytes
        if len(payload) > bound:
            size = f"the request has {len(payload)} bytes, over this client's bound of {bound} (max_message_bytes=)"
            raise Exhausted(f"{size}: send it in parts", reason="size")

    def _connected(self) -> Any:
        if self._closed:
            raise InferloomError("this client is closed")
        loop = asyncio.get_running_loop()
        if self._channel is None:
            self._channel, self._loop = self.endpoint.connect(), loop
        elif self._loop is not loop:
            raise InferloomError("this client belongs to another event loop: make one in each, or use SyncMeshClient")
        return self._channel

    def _headers(self, metadata: Metadata | None) -> Pairs:
        headers: list[tuple[str, str | bytes]] = []
        items = metadata.items() if isinstance(metadata, Mapping) else metadata or ()
        for key, value in items:
            name = str(key).lower()
            if not name.endswith("-bin"):
                value = value.decode() if isinstance(value, bytes) else str(value)
                if not (value.isascii() and value.isprintable()):
                    raise InvalidInput(
                        f"metadata '{name}' may hold printable ASCII only: name it '{name}-bin' to send bytes"
                    )
            headers.append((name, value))
        if self._token and not any(name == "authorization" for name, _ in headers):
            headers.append(("authorization", f"Bearer {self._token}"))
        return tuple(headers)
