"""The transport: one grpc.aio channel to one replica's server. Nothing above it knows grpc.aio.

A channel reconnects within 2 s, pings a silent connection every 10 s, and has a subchannel pool of its own, so two
channels to one address never share a broken connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Protocol

import grpc
from grpc import ChannelConnectivity, StatusCode

from inferloom.mesh.call import Metadata, Reply
from inferloom.mesh.errors import ReplicaError

__all__ = ["Channel", "ChannelFactory", "Lost", "StreamCall", "channel_options"]

ADDED = 1024  # bytes that the router may add to a message, such as the version it chose
REFUSED = "failed to connect to all addresses"  # how C-core begins the message of a connection that was never there


class Lost(ReplicaError):
    """The attempt did not end: the connection broke or was refused, or the mesh gave the replica up.

    `sent` is False where it is certain that the replica never saw the request.
    """

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(StatusCode.UNAVAILABLE, message)
        self.sent = sent


class StreamCall(Protocol):
    """A bidirectional stream of messages."""

    async def write(self, message: bytes) -> None: ...

    async def done_writing(self) -> None: ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    def cancel(self) -> bool: ...


def channel_options(max_message: int) -> list[tuple[str, int | str]]:
    """Options of every channel to a replica. `max_message` in bytes bounds both directions."""
    return [
        ("grpc.max_send_message_length", max_message + ADDED),
        ("grpc.max_receive_message_length", max_message),
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.min_reconnect_backoff_ms", 1000),
        ("grpc.max_reconnect_backoff_ms", 2000),
        ("grpc.keepalive_time_ms", 10_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_retries", 0),  # retries are paid from the mesh's budget, never hidden below it
        ("grpc.enable_http_proxy", 0),  # http_proxy in the environment is not for replicas
    ]


class Channel:
    """A connection to one server, shared by all models it serves.

    Args:
        address: host:port.
        max_message: bytes.
        credentials: TLS to the replica, None for plain text.
        on_reachable, on_refused: told when the connection comes up, and when it cannot be made.
    """

    connected = False  # as last heard of the connection

    def __init__(
        self,
        address: str,
        *,
        max_message: int,
        credentials: grpc.ChannelCredentials | None = None,
        interceptors: Sequence[Any] | None = None,
    ) -> None:
        self.address = address
        self.users = 0
        self.on_reachable: set[Callable[[], None]] = set()
        self.on_refused: set[Callable[[str], None]] = set()
        options = channel_options(max_message)
        self._channel: Any = (
            grpc.aio.insecure_channel(address, options=options, interceptors=interceptors)
            if credentials is None
            else grpc.aio.secure_channel(address, credentials, options=options, interceptors=interceptors)
        )
        self._unary: dict[str, Any] = {}
        self._stream: dict[str, Any] = {}
        self._watching = asyncio.create_task(self._watch(), name=f"connectivity {address}")

    async def send(self, method: str, payload: bytes, timeout: float, metadata: Metadata, active: set[Any]) -> Reply:
        """One unary call.

        Args:
            timeout: seconds.
            active: the caller's set of calls in flight; this one is in it while it runs, so that it can be given up.

        Raises:
            Lost: it did not end (see there).
            ReplicaError: the replica's own answer.
            asyncio.CancelledError: the caller went away.
        """
        stub = self._unary.get(method)
        if stub is None:
            stub = self._unary[method] = self._channel.unary_unary(method)
        rpc = stub(payload, timeout=timeout, metadata=metadata or None)  # None: an empty one costs time
        active.add(rpc)
        try:
            answer = await rpc
            return Reply(answer, _pairs(await rpc.initial_metadata()), _pairs(await rpc.trailing_metadata()))
        except grpc.aio.AioRpcError as error:
            raise _replica_error(error) from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if rpc in active or (task is not None and task.cancelling()):
                raise
            raise Lost("the mesh gave the replica up while it worked on the request", sent=True) from None
        finally:
            active.discard(rpc)

    def stream(self, method: str, metadata: Metadata) -> StreamCall:
        """A bidirectional stream without a deadline of its own."""
        stub = self._stream.get(method)
        if stub is None:
            stub = self._stream[method] = self._channel.stream_stream(method)
        call: StreamCall = stub(metadata=metadata)
        return call

    async def close(self, grace: float | None = None) -> None:
        self._watching.cancel()
        await asyncio.gather(self._watching, return_exceptions=True)
        await self._channel.close(grace)

    async def _watch(self) -> None:
        """Keep the connection up, and tell when it is and when it cannot be."""
        state = self._channel.get_state(try_to_connect=True)
        while state is not ChannelConnectivity.SHUTDOWN:
            self.connected = state is ChannelConnectivity.READY
            if self.connected:
                for reachable in tuple(self.on_reachable):
                    reachable()
            elif state is ChannelConnectivity.TRANSIENT_FAILURE:
                for refused in tuple(self.on_refused):
                    refused(f"no connection to {self.address}")
            await self._channel.wait_for_state_change(state)
            state = self._channel.get_state(try_to_connect=True)


ChannelFactory = Callable[[str], Channel]


def give_up(active: set[Any]) -> None:
    """End every call in the set as lost."""
    calls = tuple(active)
    active.clear()
    for call in calls:
        call.cancel()


def _replica_error(error: grpc.aio.AioRpcError) -> ReplicaError:
    message = error.details() or ""
    if error.code() is StatusCode.UNAVAILABLE and message.startswith(REFUSED):
        return Lost(message, sent=False)
    return ReplicaError(error.code(), message, _pairs(error.trailing_metadata()), _pairs(error.initial_metadata()))


def _pairs(metadata: Any) -> Metadata:
    return tuple(metadata) if metadata else ()
