"""An honest grpc.aio proxy: what a caller may expect of any hop, and nothing more.

    python -m bench.proxies.honest PORT UPSTREAM

It forwards the deadline (less a margin), the caller's metadata, the upstream's initial and trailing metadata, and its
status code and details; a cancelled call is cancelled upstream. No discovery, balancing, retries, bounds or metrics.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable
from typing import Any

import grpc

from bench.proxies.serve import ProxyBase, serve

Pairs = tuple[tuple[str, str | bytes], ...]

# Written anew by the channel for the next hop, or belonging to one connection.
HOP_BY_HOP = frozenset({"user-agent", "te", "content-type", "host", "connection", "accept-encoding"})


def forwarded(metadata: Iterable[tuple[str, str | bytes]] | None) -> Pairs:
    """The pairs of a call's metadata that go on to the next hop."""
    return tuple((k, v) for k, v in metadata or () if k not in HOP_BY_HOP and not k.startswith("grpc-"))


def shortened(remaining: float | None) -> float | None:
    """Seconds for the next hop: 5 % or 10 ms are kept back, whichever is less; None where there is no deadline."""
    return None if remaining is None else max(remaining - min(0.05 * remaining, 0.010), 0.0)


class HonestProxy(ProxyBase):
    """Passes every unary method to `upstream` (host:port)."""

    def __init__(self, upstream: str) -> None:
        self._channel: Any = grpc.aio.insecure_channel(upstream)
        self._handlers: dict[str, Any] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        method = handler_call_details.method
        if method not in self._handlers:
            self._handlers[method] = self._handler(method)
        return self._handlers[method]

    def _handler(self, method: str) -> Any:
        ask = self._channel.unary_unary(method)

        async def handle(request: bytes, context: Any) -> bytes:
            call = ask(
                request,
                timeout=shortened(context.time_remaining()),
                metadata=forwarded(context.invocation_metadata()),
            )
            try:
                reply: bytes = await call
                initial = tuple(await call.initial_metadata() or ())
                trailing = tuple(await call.trailing_metadata() or ())
            except grpc.aio.AioRpcError as error:
                await context.abort(error.code(), error.details() or "", tuple(error.trailing_metadata() or ()))
                raise
            if initial:
                await context.send_initial_metadata(initial)
            if trailing:
                context.set_trailing_metadata(trailing)
            return reply

        return grpc.unary_unary_rpc_method_handler(handle)


if __name__ == "__main__":
    asyncio.run(serve(HonestProxy, int(sys.argv[1]), sys.argv[2]))
