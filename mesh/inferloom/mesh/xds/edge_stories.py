"""Takes what edges tell of requests that failed or were slow, and keeps it as a router keeps its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc

from inferloom.mesh.explain.explainer import Explainer
from inferloom.mesh.explain.pace import INFINITY
from inferloom.mesh.router.security import Tokens
from inferloom.mesh.telemetry.metrics import UNKNOWN_MODEL
from inferloom.mesh.xds.access_log_messages import StreamAccessLogsMessage
from inferloom.mesh.xds.edge_story import story_of
from inferloom.mesh.xds.exposures import PATH
from inferloom.mesh.xds.feed import Inputs

__all__ = ["EdgeStories"]

NO_TOKEN = "what edges tell is taken from those that show the mesh's token"  # noqa: S105 no token


class EdgeStories:
    """envoy.service.accesslog.v3.AccessLogService.

    Args:
        explainer: keeps them.
        inputs: of the edges, now.
        tokens: one of which an edge must show.
    """

    def __init__(self, explainer: Explainer, inputs: Callable[[], Inputs], tokens: Tokens) -> None:
        self._explainer = explainer
        self._inputs = inputs
        self._tokens = tokens

    def handlers(self) -> dict[str, Any]:
        """Method handlers by path."""
        return {PATH: grpc.stream_unary_rpc_method_handler(self._take)}

    async def _take(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        """One worker's stream of an edge; it lasts as long as both do."""
        if self._tokens and not self._tokens.has(dict(context.invocation_metadata() or ()).get("authorization")):
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, NO_TOKEN)
        node = ""
        async for batch in requests:
            message = StreamAccessLogsMessage.FromString(batch)
            if message.identifier.node.id:  # in a stream's first message alone
                node = message.identifier.node.id
            for entry in message.http_logs.entries:
                self._keep(entry, node)
        return b""

    def _keep(self, entry: Any, node: str) -> None:
        if self._explainer.full:
            return  # before it is looked at: when everything fails there are thousands a second
        inputs = self._inputs()
        told = story_of(entry, inputs.catalog, inputs.splits)
        if told is None:
            return
        if told["model"] in inputs.catalog.models:
            # An edge that has another control plane's configuration may tell this one, which has not counted its answers and
            # so does not know what is slow; the edge has it from the other one.
            limit = self._explainer.pace(told["model"]).limit if node in self._explainer.edges else None
            if limit is not None and limit != INFINITY:
                told["slow_over_ms"] = round(1e3 * limit, 3)
            if limit is not None and told["kind"] == "slow" and told["ms"] <= 1e3 * limit:
                return
        elif told["kind"] == "slow" or told["model"] != UNKNOWN_MODEL:
            return  # a model that is gone
        if self._explainer.room():
            self._explainer.recent.add(
                {
                    **told,
                    "request_id": self._explainer.named(told["request_id"]),
                    "process": f"edge {node}" if node else "edge",
                }
            )
