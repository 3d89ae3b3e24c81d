"""`inferloom.v1.ExplainService` of a control plane: the requests that its edges send to replicas themselves."""

from __future__ import annotations

from typing import Any

import grpc

from inferloom.mesh.explain.answers import explanation, model_figures
from inferloom.mesh.explain.explainer import Explainer
from inferloom.mesh.router.explain_service import NotKept
from inferloom.mesh.router.face import abort
from inferloom.mesh.router.security import Tokens
from inferloom.mesh.xds.edge_paces import EdgePaces
from inferloom.v1 import explain_pb2 as pb
from inferloom.v1 import explain_pb2_grpc

__all__ = ["EdgeExplainService"]

NO_TOKEN = "what requests have failed of is told to those who show the mesh's token: give --token"  # noqa: S105 no token


class EdgeExplainService(explain_pb2_grpc.ExplainServiceServicer):
    """Answers as a router does, of what its edges have told; it asks nobody else.

    Args:
        tokens: one of which a caller must show.
    """

    def __init__(self, explainer: Explainer, paces: EdgePaces, tokens: Tokens) -> None:
        self._explainer = explainer
        self._paces = paces
        self._tokens = tokens

    async def Explain(self, request: pb.ExplainRequest, context: Any) -> pb.Explanation:  # noqa: N802
        await self._admit(context)
        told = self._explainer.recent.find(request.request_id)
        if told is None:
            await abort(context, NotKept(f"no edge has told of request '{request.request_id[:100]}'"), "Explain")
        assert told is not None
        return explanation(told)

    async def ListRecent(self, request: pb.ListRecentRequest, context: Any) -> pb.ListRecentResponse:  # noqa: N802
        await self._admit(context)
        return pb.ListRecentResponse(requests=map(explanation, self._explainer.recent.list(request.limit)))

    async def Figures(self, request: pb.FiguresRequest, context: Any) -> pb.FiguresResponse:  # noqa: N802
        await self._admit(context)
        now = self._explainer.now()
        answer = pb.FiguresResponse(process=self._explainer.process, seconds=now)
        figures = {each.name: each for each in model_figures(self._explainer, now)}
        for (model, replica), load in self._paces.replicas.items():
            each = figures.setdefault(model, pb.ModelFigures(name=model))
            each.in_flight += load.in_flight
            each.replicas.add(
                replica=replica,
                in_flight=load.in_flight,
                failed=load.failed,
                per_second=self._paces.attempts_a_second(model, replica),
                passed_over=load.passed_over,
            )
        for name, each in figures.items():
            each.per_second = self._paces.requests_a_second(name)
        answer.models.extend(figures.values())
        return answer

    async def _admit(self, context: Any) -> None:
        if self._tokens and not self._tokens.has(dict(context.invocation_metadata() or ()).get("authorization")):
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, NO_TOKEN)
