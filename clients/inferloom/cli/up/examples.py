"""Lines to paste: of models from their metadata, of services and pipelines from their schemas."""

from __future__ import annotations

import json
import shlex
from collections.abc import Container, Iterable, Mapping, Sequence

import grpc

from inferloom.cli.up.output import DEFAULT
from inferloom.clients.aio import MeshClient
from inferloom.clients.channel import Endpoint
from inferloom.clients.example import example_call
from inferloom.mesh.catalog import Catalog, Kind
from inferloom.services.typed.openapi import path_of
from inferloom.services.typed.schema_example import example_of
from inferloom.v1 import typed_pb2 as pb
from inferloom.v1 import typed_pb2_grpc

__all__ = ["example_calls", "example_requests", "names_of"]

MOST = 3  # models shown
MOST_TYPED = 8  # services and pipelines shown
LONGEST = 400  # characters of a line; what takes more is better read in /docs
JSON = "Content-Type: application/json"
PATIENCE = 10.0  # seconds


async def example_calls(address: str, models: Sequence[str]) -> list[str]:
    """A call that works, for the first few models."""
    option = "" if address == DEFAULT else f" --mesh {address}"
    async with MeshClient(address) as mesh:
        return [example_call(await mesh.metadata(name)) + option for name in models[:MOST]]


async def example_requests(address: str, http: str, names: Sequence[str], mounted: Iterable[str] = ()) -> list[str]:
    """A curl line for each of the first services and pipelines; none without an HTTP port.

    Args:
        address: HOST:PORT of the mesh.
        http: HOST:PORT of its HTTP port; "": it is closed.
        mounted: names of services that are HTTP applications themselves.
    """
    if not (names and http):
        return []
    lines = [f"curl -s http://{http}/{name}/" for name in mounted]
    endpoint = Endpoint(address)
    async with endpoint.connect() as channel:
        stub = typed_pb2_grpc.TypedServiceStub(channel)  # type: ignore[no-untyped-call]
        for name in names[:MOST_TYPED]:
            try:
                answer = await stub.Describe(pb.DescribeRequest(model_name=name), timeout=PATIENCE)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.UNIMPLEMENTED:  # an HTTP application and nothing else
                    continue
                raise
            lines.append(request_line(http, name, json.loads(answer.request_schema), names, streams=answer.streams))
    return lines


def request_line(
    http: str, name: str, schema: Mapping[str, object], known: Container[str] = (), *, streams: bool = False
) -> str:
    """POST of an example.

    curl -s http://127.0.0.1:8080/v1/ReadDigit -H 'Content-Type: application/json' -d '{"png":"aGVsbG8="}'
    """
    path = path_of(name, known)
    body = json.dumps(example_of(schema), separators=(",", ":"))
    if len(body) > LONGEST:
        return f"curl -s http://{http}/openapi.json   # {path} takes more than fits on a line"
    # `--json` would be shorter; curl has it since 7.82
    return f"curl -s{'N' if streams else ''} http://{http}{path} -H {shlex.quote(JSON)} -d {shlex.quote(body)}"


def names_of(catalog: Catalog, declared: Iterable[str]) -> tuple[list[str], list[str]]:
    """The names in the catalog that these services and pipelines answer to, and those that are HTTP applications."""
    wanted = set(declared)
    typed, mounted = [], []
    for name, model in catalog.models.items():
        if name.partition(".")[0] in wanted or name in wanted:
            if model.kind is not Kind.MODEL:
                typed.append(name)
            if any(replica.app_port for replica in model.replicas) and model.kind is Kind.SERVICE:
                mounted.append(name)
    return typed, mounted
