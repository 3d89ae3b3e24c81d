"""The aggregated discovery service over grpc.aio: one `Stream` for each client."""

from __future__ import annotations

from typing import Any

import grpc

from inferloom.mesh.clock import SYSTEM, Clock
from inferloom.mesh.router.security import Tokens
from inferloom.mesh.xds.codec import decode_ask, encode_push
from inferloom.mesh.xds.edge_settings import EdgeSettings
from inferloom.mesh.xds.feed import Feed
from inferloom.mesh.xds.stream import Stream
from inferloom.mesh.xds.targets import Targets

__all__ = ["SERVICE", "DiscoveryService"]

SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"
NO_TOKEN = "discovery answers carry the mesh's tokens: start the edge with --token-file"  # noqa: S105 no token
ONLY_WHOLE = "state of the world only: use StreamAggregatedResources (api_type: GRPC)"


class DiscoveryService:
    """envoy.service.discovery.v3.AggregatedDiscoveryService, state of the world.

    Where the mesh has tokens an edge must show one: the answers carry them.

    Args:
        feed: started.
        settings: of every edge; what its node says of itself comes on top.

    Attributes:
        streams: those that are open.
        gone: pushes, acks and nacks of streams that have ended, by type.
    """

    def __init__(self, feed: Feed, settings: EdgeSettings, clock: Clock = SYSTEM) -> None:
        self.streams: list[Stream] = []
        self.gone: dict[str, tuple[int, int, int]] = {}
        self.targets = Targets()
        self.feed = feed
        self._settings = settings
        self._tokens = Tokens(settings.tokens)
        self._clock = clock

    def handlers(self) -> dict[str, Any]:
        """Method handlers by path."""
        whole = grpc.stream_stream_rpc_method_handler(
            self._stream, request_deserializer=decode_ask, response_serializer=encode_push
        )
        return {
            f"/{SERVICE}/StreamAggregatedResources": whole,
            f"/{SERVICE}/DeltaAggregatedResources": grpc.stream_stream_rpc_method_handler(_delta),
        }

    def counts(self) -> dict[str, tuple[int, int, int]]:
        """Pushes, acks and nacks so far, by type."""
        found = dict(self.gone)
        for stream in self.streams:
            _add(found, stream)
        return found

    async def _stream(self, requests: Any, context: Any) -> None:
        if self._tokens and not self._tokens.has(dict(context.invocation_metadata() or ()).get("authorization")):
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, NO_TOKEN)
        stream = Stream(self.feed, self.targets, self._settings, self._clock)
        self.streams.append(stream)
        try:
            await stream.serve(context)
        finally:
            self.streams.remove(stream)
            _add(self.gone, stream)


def _add(counts: dict[str, tuple[int, int, int]], stream: Stream) -> None:
    for kind, subscription in stream.session.subscriptions.items():
        pushes, acks, nacks = counts.get(kind, (0, 0, 0))
        counts[kind] = (pushes + subscription.pushes, acks + subscription.acks, nacks + subscription.nacks)


async def _delta(requests: Any, context: Any) -> None:
    await context.abort(grpc.StatusCode.UNIMPLEMENTED, ONLY_WHOLE)
