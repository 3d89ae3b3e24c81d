"""`inferloom.v1.ExplainService`: what this process remembers of its requests, and what the hosts it knows do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import structlog
from google.protobuf.message import DecodeError, Message
from grpc import StatusCode

from inferloom.mesh.catalog import Kind
from inferloom.mesh.errors import InferloomError, ReplicaError
from inferloom.mesh.explain.answers import explanation, model_figures
from inferloom.mesh.explain.recent import MOST
from inferloom.mesh.router.endpoint import Endpoint
from inferloom.mesh.router.face import abort
from inferloom.mesh.router.router import Router
from inferloom.v1 import explain_pb2 as pb
from inferloom.v1 import explain_pb2_grpc

__all__ = ["ExplainService", "NotKept"]

log = structlog.get_logger(__name__)

NAME = pb.DESCRIPTOR.services_by_name["ExplainService"].full_name
PATIENCE = 1.0  # seconds for a host to answer

M = TypeVar("M", bound=Message)


class NotKept(InferloomError):
    """The request is not among those that are remembered."""

    code = StatusCode.NOT_FOUND


class ExplainService(explain_pb2_grpc.ExplainServiceServicer):
    """Answers for the router of this process, and asks the hosts it knows.

    Args:
        pipelines: of this process: their figures.
    """

    def __init__(self, router: Router, pipelines: Callable[[], Iterable[pb.PipelineFigures]] = tuple) -> None:
        self._router = router
        self._explainer = router.explainer
        self._pipelines = pipelines

    async def Explain(self, request: pb.ExplainRequest, context: Any) -> pb.Explanation:  # noqa: N802
        try:
            return await self.explain(request.request_id, alone=request.alone)
        except InferloomError as error:
            await abort(context, error, "Explain")
            raise

    async def ListRecent(self, request: pb.ListRecentRequest, context: Any) -> pb.ListRecentResponse:  # noqa: N802
        answer = pb.ListRecentResponse(requests=map(explanation, self._explainer.recent.list(request.limit)))
        if request.alone:
            return answer
        told = await self._hosts("ListRecent", pb.ListRecentRequest(limit=request.limit, alone=True), answer)
        known = {each.request_id for each in answer.requests}
        for host in told:  # what the router sent there is in its own list
            answer.requests.extend(each for each in host.requests if each.request_id not in known)
            answer.unanswered.extend(host.unanswered)
        answer.requests.sort(key=lambda each: each.time, reverse=True)
        if request.limit:
            del answer.requests[request.limit :]
        return answer

    async def Figures(self, request: pb.FiguresRequest, context: Any) -> pb.FiguresResponse:  # noqa: N802
        explainer, now = self._explainer, self._explainer.now()
        answer = pb.FiguresResponse(
            process=explainer.process, seconds=now, splits=sorted(self._router.splitting.splits)
        )
        answer.models.extend(model_figures(explainer, now))
        answer.pipelines.extend(self._pipelines())
        if not request.alone:
            for host in await self._hosts("Figures", pb.FiguresRequest(alone=True), answer):
                answer.pipelines.extend(host.pipelines)
        return answer

    async def explain(self, request_id: str, *, alone: bool = False) -> pb.Explanation:
        """One request.

        Args:
            alone: without asking hosts.

        Raises:
            NotKept: nobody remembers it.
        """
        own = self._explainer.recent.find(request_id)
        answer = None if own is None else explanation(own)
        if not alone and (answer is None or not answer.HasField("inside")):
            told = await self._hosts("Explain", pb.ExplainRequest(request_id=request_id, alone=True), pb.Explanation())
            inside = next((each for each in told if each.request_id), None)
            if answer is None:
                answer = inside
            elif inside is not None and inside.model == answer.model:
                answer.inside.CopyFrom(inside)
        if answer is None:
            raise NotKept(
                f"request '{request_id[:100]}' is not among the last {MOST} that failed or were slow; "
                f"a request with the metadata x-inferloom-explain: 1 is always kept"
            )
        return answer

    async def _hosts(self, method: str, question: Message, answer: M) -> list[M]:
        """What hosts answer; who does not is named in the answer."""
        hosts: dict[str, Endpoint] = {}
        for group in self._router.pool.groups.values():
            for endpoint in group.endpoints.values():
                if endpoint.replica.kind is not Kind.MODEL and endpoint.health.reachable:
                    hosts.setdefault(endpoint.replica.address, endpoint)
        told = await asyncio.gather(*(self._ask(each, method, question, type(answer)) for each in hosts.values()))
        for address, each in zip(hosts, told, strict=True):
            if each is None and hasattr(answer, "unanswered"):
                answer.unanswered.append(address)
        return [each for each in told if each is not None]

    async def _ask(self, endpoint: Endpoint, method: str, question: Message, kind: type[M]) -> M | None:
        try:
            reply = await endpoint.channel.send(
                f"/{NAME}/{method}", question.SerializeToString(), PATIENCE, (), endpoint.active
            )
            return kind.FromString(reply.payload)
        except ReplicaError as error:
            if error.code in (StatusCode.NOT_FOUND, StatusCode.UNIMPLEMENTED):
                return kind()
            log.debug("a host tells nothing", host=endpoint.replica.address, error=str(error))
        except DecodeError:
            log.debug("a host's answer cannot be read", host=endpoint.replica.address)
        return None
