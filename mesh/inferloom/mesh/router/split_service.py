"""The methods of MeshService that tell of splits. A host serves these two alone: `figures_servicer(router)`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import structlog
from grpc import StatusCode

from inferloom.mesh.catalog import Kind
from inferloom.mesh.errors import InferloomError, ReplicaError
from inferloom.mesh.router.endpoint import Endpoint
from inferloom.mesh.router.face import abort
from inferloom.mesh.router.live_split import LiveSplit
from inferloom.mesh.router.router import Router
from inferloom.mesh.split import Arm
from inferloom.mesh.splits.figures import added
from inferloom.v1 import mesh_pb2 as pb
from inferloom.v1 import mesh_pb2_grpc

__all__ = ["METHODS", "NoSplit", "SplitService", "figures_servicer"]

log = structlog.get_logger(__name__)

FIGURES = "/inferloom.v1.MeshService/SplitFigures"
METHODS = ("SplitFigures", "WatchExposures")
PATIENCE = 1.0  # seconds for a host to tell its figures


class NoSplit(InferloomError):
    """There is no split of that name."""

    code = StatusCode.NOT_FOUND


class SplitService(mesh_pb2_grpc.MeshServiceServicer):
    """Answers for the router of this process, and asks the hosts it knows for what their own routers have counted."""

    def __init__(self, router: Router) -> None:
        self._router = router

    async def SplitFigures(self, request: pb.SplitFiguresRequest, context: Any) -> pb.SplitFiguresResponse:  # noqa: N802
        try:
            return await self.figures(request.name, alone=request.alone)
        except InferloomError as error:
            await abort(context, error, "SplitFigures")
            raise

    async def WatchExposures(  # noqa: N802
        self, request: pb.WatchExposuresRequest, context: Any
    ) -> AsyncIterator[pb.Exposure]:
        async with self._router.exposures.subscribed(request.name) as subscription:
            async for exposure in subscription:
                yield pb.Exposure(**exposure._asdict(), dropped=subscription.dropped)

    async def figures(self, name: str, *, alone: bool = False) -> pb.SplitFiguresResponse:
        """The figures of a split.

        Args:
            alone: without the hosts'.

        Raises:
            NoSplit: there is none.
        """
        splitting = self._router.splitting
        live, problem = splitting.splits.get(name), splitting.problems.get(name, "")
        hosts = [] if alone else await self._hosts(name)
        answer = pb.SplitFiguresResponse(name=name, problem=problem)
        if live is not None:
            _tell(answer, live, lambda arm: splitting.serves(live.split, arm))
        elif (route := splitting.routes.get(name)) is not None:
            _tell(answer, route, lambda arm: True)
        for endpoint, figures in hosts:
            if figures is None:
                answer.unanswered.append(endpoint.replica.address)
            elif not answer.arms:  # of a Route, which the hosts alone know
                answer.MergeFrom(figures)
            else:
                arms = added(answer.arms, figures.arms)
                del answer.arms[:]
                answer.arms.extend(arms)
        if not answer.arms:
            raise NoSplit(f"no split '{name}' is in force" + (f": {problem}" if problem else ""))
        return answer

    async def _hosts(self, name: str) -> list[tuple[Endpoint, pb.SplitFiguresResponse | None]]:
        hosts: dict[str, Endpoint] = {}
        for group in self._router.pool.groups.values():
            for endpoint in group.endpoints.values():
                if endpoint.replica.kind is not Kind.MODEL and endpoint.replica.usable:
                    hosts.setdefault(endpoint.replica.address, endpoint)
        told = await asyncio.gather(*(self._ask(endpoint, name) for endpoint in hosts.values()))
        return list(zip(hosts.values(), told, strict=True))

    async def _ask(self, endpoint: Endpoint, name: str) -> pb.SplitFiguresResponse | None:
        question = pb.SplitFiguresRequest(name=name, alone=True).SerializeToString()
        try:
            reply = await endpoint.channel.send(FIGURES, question, PATIENCE, (), endpoint.active)
        except ReplicaError as error:
            if error.code in (StatusCode.NOT_FOUND, StatusCode.UNIMPLEMENTED):
                return pb.SplitFiguresResponse()  # it has sent nothing of this split
            log.debug("host tells no figures", host=endpoint.replica.address, error=str(error))
            return None
        return pb.SplitFiguresResponse.FromString(reply.payload)


def _tell(answer: pb.SplitFiguresResponse, live: LiveSplit, served: Callable[[Arm], bool]) -> None:
    answer.version, answer.since, answer.by = live.version, live.since, live.split.by
    answer.arms.extend(live.figures.message(live.split))
    for message, arm in zip(answer.arms, live.split.arms, strict=True):
        message.served = served(arm)


def figures_servicer(router: Router) -> mesh_pb2_grpc.MeshServiceServicer:
    """For a host's server: its router's figures and exposures; every other method of MeshService is unimplemented."""
    return SplitService(router)
