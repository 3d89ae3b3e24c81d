"""`inferloom explain`: why a request was slow or failed."""

from __future__ import annotations

import json as json_module
import sys
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from rich.console import Console

from inferloom.cli.explain_ask import Asking, connected
from inferloom.cli.explain_edges import Edges, one_of, together
from inferloom.cli.explain_story import story
from inferloom.cli.explain_table import table_of_recent
from inferloom.clients.channel import Endpoint
from inferloom.mesh.errors import InferloomError, InvalidInput
from inferloom.v1 import explain_pb2 as pb

__all__ = ["explain"]

MISSING = "what the router knows is missing"
PLAIN = 180  # columns where stdout is no terminal


async def explain(
    request_id: str | None, endpoint: Endpoint, token: str | None, *, limit: int, json: bool, control: str = ""
) -> None:
    """One request as a story, or the last ones as a table.

    Args:
        request_id: or a trace id; None: the last ones.
        limit: of the table's rows.
        control: HOST:PORT of the mesh's control plane, or several separated by commas; "": it has none.

    Raises:
        ConfigError: `control` is no address.
        InvalidInput: nobody remembers the request.
        RegistryUnavailable: no mesh answers there, and no control plane that knows anything.
        Unsupported: what answers is older, or no router.
    """
    edges = Edges(control, token)
    async with connected(endpoint, token) as mesh:
        if request_id is None:
            question = pb.ListRecentRequest(limit=limit)
            told, silent = await edges.ask("ListRecent", question)
            try:
                answer = await mesh.explain("ListRecent", question)
            except InferloomError as error:
                if not told:
                    raise
                answer = pb.ListRecentResponse()
                silent.append(f"{MISSING}: {error}")
            together(answer, told, limit)
            for why in silent:
                print(why, file=sys.stderr)
            if json:
                _print_json(answer)
                return
            console = Console(width=None if sys.stdout.isatty() else PLAIN)
            console.print(table_of_recent(answer))
            return
        one = await _one(mesh, edges, request_id)
        if json:
            _print_json(one)
        else:
            print("\n".join(story(one)))


async def _one(mesh: Asking, edges: Edges, request_id: str) -> pb.Explanation:
    """Of whoever knows it."""
    question = pb.ExplainRequest(request_id=request_id)
    told, silent = await edges.ask("Explain", question)
    for why in silent:
        print(why, file=sys.stderr)
    router, unknown = None, ""
    try:
        router = await mesh.explain("Explain", question)
    except grpc.aio.AioRpcError as error:
        unknown = f"{error.details()}; `inferloom explain` lists those that are kept"
    except InferloomError as error:  # Envoy goes on without a router
        if not told:
            raise
        print(f"{MISSING}: {error}", file=sys.stderr)
    found = one_of(router, told)
    if found is None:
        raise InvalidInput(unknown)
    return found


def _print_json(message: Message) -> None:
    shown: Any = MessageToDict(message, preserving_proto_field_name=True)
    print(json_module.dumps(shown, indent=1))
