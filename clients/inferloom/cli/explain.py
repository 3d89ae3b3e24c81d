"""`inferloom explain`: why a request was slow or failed."""

from __future__ import annotations

import json as json_module
import sys
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from rich.console import Console

from inferloom.cli.explain_ask import connected
from inferloom.cli.explain_story import story
from inferloom.cli.explain_table import table_of_recent
from inferloom.clients.channel import Endpoint
from inferloom.mesh.errors import InvalidInput
from inferloom.v1 import explain_pb2 as pb

__all__ = ["explain"]

PLAIN = 180  # columns where stdout is no terminal


async def explain(request_id: str | None, endpoint: Endpoint, token: str | None, *, limit: int, json: bool) -> None:
    """One request as a story, or the last ones as a table.

    Args:
        request_id: or a trace id; None: the last ones.
        limit: of the table's rows.

    Raises:
        InvalidInput: nobody remembers the request.
        RegistryUnavailable: no mesh answers there.
        Unsupported: what answers is older, or no router.
    """
    async with connected(endpoint, token) as mesh:
        if request_id is None:
            answer = await mesh.explain("ListRecent", pb.ListRecentRequest(limit=limit))
            if json:
                _print_json(answer)
                return
            console = Console(width=None if sys.stdout.isatty() else PLAIN)
            console.print(table_of_recent(answer))
            return
        try:
            told = await mesh.explain("Explain", pb.ExplainRequest(request_id=request_id))
        except grpc.aio.AioRpcError as error:
            raise InvalidInput(f"{error.details()}; `inferloom explain` lists those that are kept") from None
        if json:
            _print_json(told)
        else:
            print("\n".join(story(told)))


def _print_json(message: Message) -> None:
    shown: Any = MessageToDict(message, preserving_proto_field_name=True)
    print(json_module.dumps(shown, indent=1))
