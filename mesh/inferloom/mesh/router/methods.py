"""All methods of a server in one table.

grpc.aio asks its handlers one after the other, for every call; each costs several microseconds even where it only looks a
name up and does not find it. So the services are collected here and asked once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import grpc

__all__ = ["Collector", "MethodTable"]


class Collector:
    """Takes the place of a server in the generated `add_..._to_server` functions."""

    def __init__(self) -> None:
        self.handlers: dict[str, Any] = {}

    def add_generic_rpc_handlers(self, handlers: Sequence[Any]) -> None:
        """Nothing: the same methods come by `add_registered_method_handlers`."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        self.handlers.update({f"/{service}/{name}": handler for name, handler in handlers.items()})


class MethodTable(grpc.GenericRpcHandler):  # type: ignore[type-arg]
    """Finds a method's handler.

    Args:
        handlers: by path.
        calls: by path, unary methods that want the caller's metadata: `(metadata, request, context) -> bytes`. It is at
            hand here; asking the context for it would decode it once more.
        lookups: asked one after the other for a path that is in neither: handlers that come and go.
    """

    def __init__(
        self,
        handlers: Mapping[str, Any],
        calls: Mapping[str, Callable[..., Any]],
        lookups: Sequence[Callable[[str], Any | None]] = (),
    ) -> None:
        self._handlers = dict(handlers)
        self._calls = dict(calls)
        self._lookups = tuple(lookups)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        method = handler_call_details.method
        call = self._calls.get(method)
        if call is not None:
            return grpc.unary_unary_rpc_method_handler(partial(call, handler_call_details.invocation_metadata))
        handler = self._handlers.get(method)
        if handler is None:
            handler = next((found for lookup in self._lookups if (found := lookup(method)) is not None), None)
        return handler
