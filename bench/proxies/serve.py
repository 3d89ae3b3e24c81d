"""Runs a yardstick proxy until it is terminated."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    ProxyBase = grpc.GenericRpcHandler[Any, Any]  # generic in the stubs alone
else:
    ProxyBase = grpc.GenericRpcHandler


async def serve(proxy: Callable[[str], ProxyBase], port: int, upstream: str) -> None:
    """Serve `proxy(upstream)` on 127.0.0.1:port.

    Raises:
        RuntimeError: the port is taken.
    """
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((proxy(upstream),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()
