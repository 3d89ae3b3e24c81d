"""The barest grpc.aio proxy: bytes in, bytes out, nothing else is kept of a call.

    python -m bench.proxies.barest PORT UPSTREAM

A caller's deadline, metadata, trailers and the upstream's status are lost. It marks what grpc.aio itself costs.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import grpc

from bench.proxies.serve import ProxyBase, serve


class BarestProxy(ProxyBase):
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
            reply: bytes = await ask(request)
            return reply

        return grpc.unary_unary_rpc_method_handler(handle)


if __name__ == "__main__":
    asyncio.run(serve(BarestProxy, int(sys.argv[1]), sys.argv[2]))
