"""`inferloom.v1.ControlService`: which edges are connected, what each has taken and refused."""

from __future__ import annotations

from typing import Any

from inferloom.mesh.clock import Clock
from inferloom.mesh.registry.base import Registry
from inferloom.mesh.version import __version__
from inferloom.mesh.xds.discovery import NAMES, RDS
from inferloom.mesh.xds.server import DiscoveryService
from inferloom.mesh.xds.stream import Stream
from inferloom.mesh.xds.target import model_of
from inferloom.v1 import control_pb2 as pb
from inferloom.v1 import control_pb2_grpc

__all__ = ["ControlService"]


class ControlService(control_pb2_grpc.ControlServiceServicer):
    """Answers from a running discovery service."""

    def __init__(self, discovery: DiscoveryService, registry: Registry, clock: Clock) -> None:
        self._discovery = discovery
        self._registry = registry
        self._since = clock.wall()

    async def Status(self, request: pb.StatusRequest, context: Any) -> pb.StatusResponse:  # noqa: N802
        catalog = self._registry.catalog
        streams = sorted(self._discovery.streams, key=lambda stream: (stream.session.node.id, stream.since))
        return pb.StatusResponse(
            edges=[_edge(stream) for stream in streams],
            models=len(catalog.models),
            fresh=catalog.fresh,
            age_seconds=0.0 if catalog.fresh else self._registry.age,
            problems=[
                pb.DocumentProblem(kind=kind, name=name, why=why) for kind, name, why in self._discovery.feed.problems()
            ],
            version=__version__,
            since=self._since,
        )


def _edge(stream: Stream) -> pb.EdgeStatus:
    session = stream.session
    return pb.EdgeStatus(
        node=session.node.id,
        zone=session.node.zone,
        since=stream.since,
        settled=session.settled,
        types=[
            pb.TypeStatus(
                type=NAMES[kind],
                acked_version=known.version,
                sent_version=known.offered,
                waiting=known.waiting,
                resources=sum("/" in unit for unit in known.have) if kind == RDS else len(known.have),
                acks=known.acks,
                nacks=known.nacks,
                last_nack=known.last_nack,
            )
            for kind in NAMES
            if (known := session.subscriptions.get(kind)) is not None
        ],
        refused=[
            pb.Refused(
                type=NAMES[kind],
                resource=unit,
                model=model_of(unit),
                why=why,
                serves_last=unit in session.subscriptions[kind].have,
            )
            for kind, unit, why in session.quarantined()
        ],
        problem=stream.problem,
    )
