"""Asks the control planes of a mesh with a gateway: they know the requests that Envoy sends to replicas itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import grpc

from inferloom.cli.explain_ask import connected
from inferloom.clients.channel import Endpoint
from inferloom.mesh.errors import InferloomError
from inferloom.mesh.listen import parse_address
from inferloom.v1 import explain_pb2 as pb

__all__ = ["Edges", "one_of", "together"]

ROUTER = "router"  # the process of what it tells itself; of what a host has told it is the host's id


class Edges:
    """Control planes of one mesh.

    Args:
        control: HOST:PORT, several separated by commas; "": there are none.
        token: of the mesh.

    Raises:
        ConfigError: one is no address.
    """

    def __init__(self, control: str = "", token: str | None = None) -> None:
        self._addresses = [str(parse_address(each.strip(), "--control")) for each in control.split(",") if each.strip()]
        self._token = token

    async def ask(self, method: str, request: Any) -> tuple[list[Any], list[str]]:
        """What those answer that know something, and why others do not answer."""
        asked = await asyncio.gather(*(self._ask(each, method, request) for each in self._addresses))
        return [each for each in asked if not isinstance(each, str) and each is not None], [
            each for each in asked if isinstance(each, str)
        ]

    async def _ask(self, address: str, method: str, request: Any) -> Any:
        try:
            async with connected(Endpoint(address), self._token, f"no control plane answers at {address}") as control:
                return await control.explain(method, request)
        except grpc.aio.AioRpcError:
            return None  # it does not know the request
        except InferloomError as error:
            return f"what Envoy sends to replicas itself is missing: {error}"


def together(answer: pb.ListRecentResponse, edges: Sequence[pb.ListRecentResponse], limit: int) -> None:
    """Add to what a router answers what edges have told, newest first.

    What a host has told of a request that came from an edge is left out: it is inside of what the edge tells.
    """
    told = [each for edge in edges for each in edge.requests]
    known = {(each.request_id, each.model) for each in told}
    own = [each for each in answer.requests if each.process == ROUTER or (each.request_id, each.model) not in known]
    found = sorted([*own, *told], key=lambda each: each.time, reverse=True)
    del answer.requests[:]
    answer.requests.extend(found[:limit] if limit else found)


def one_of(router: pb.Explanation | None, edges: Sequence[pb.Explanation]) -> pb.Explanation | None:
    """The newest; where that is an edge's, what a host has told the router of the same request is inside of it."""
    told = max(edges, key=lambda each: each.time, default=None)
    if told is None or router is None:
        return told or router
    if router.process != ROUTER and router.model == told.model:
        told.inside.CopyFrom(router)
        return told
    return max(told, router, key=lambda each: each.time)
