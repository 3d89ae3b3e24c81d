"""Faces of what a mesh serves: asked of the mesh, like any caller could."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from inferloom.cli.codegen.source import Source
from inferloom.cli.up.documents import KIND as MODEL
from inferloom.clients.aio import MeshClient
from inferloom.clients.channel import Endpoint
from inferloom.clients.metadata import ModelMetadata
from inferloom.clients.transport import Transport
from inferloom.mesh.errors import ConfigError, InvalidInput, ModelNotFound, Unsupported
from inferloom.services.answerer import Description
from inferloom.services.proto.face import Face
from inferloom.services.proto.hints import Hints
from inferloom.services.proto.lock import KIND as LOCKS
from inferloom.services.proto.lock import Lock
from inferloom.services.proto.model import model_face
from inferloom.services.proto.schema import service_face
from inferloom.services.typed.openapi import path_of
from inferloom.v1 import mesh_pb2, typed_pb2

__all__ = ["from_mesh"]

PATIENCE = 10.0  # seconds for one answer
_MESH = "/inferloom.v1.MeshService"


async def from_mesh(
    address: str,
    names: Sequence[str],
    *,
    token: str | None = None,
    ca: Path | None = None,
    cert: Path | None = None,
    key: Path | None = None,
) -> list[Source]:
    """The models, services and pipelines of these names.

    Raises:
        InvalidInput: no name is given.
        InferloomError: the mesh does not answer, or has no such name.
    """
    transport = Transport(Endpoint(address, ca=ca, cert=cert, key=key), token)
    try:
        async with MeshClient(address, token=token, ca=ca, cert=cert, key=key, timeout=PATIENCE) as client:
            models = {model.name for model in await client.models()}
            if not names:
                listed = ", ".join(sorted(models)) or "nothing"
                raise InvalidInput(f"name what to write a proto for; the mesh serves {listed}")
            return [await _source(transport, client, name, models) for name in names]
    finally:
        await transport.close()


async def _source(transport: Transport, client: MeshClient, name: str, models: set[str]) -> Source:
    served = await _document(transport, LOCKS, name)
    lock = Lock.from_json(served, f"the mesh's document {LOCKS} '{name}'") if served else None
    described = await _described(transport, name)
    if described is not None:
        path = path_of(name, models)

        def typed(part: str, taken: frozenset[str], found: Description = described) -> Face:
            return service_face(name, found, path, taken=taken, part=part)

        return Source(name, typed, lock)
    metadata = await client.metadata(name)
    document = await _document(transport, MODEL, name)
    hints = Hints.from_json((document or {}).get("hints") or {})

    def tensors(part: str, taken: frozenset[str], found: ModelMetadata = metadata) -> Face:
        try:
            return model_face(found, hints, taken=taken, part=part)
        except ConfigError as error:  # as the mesh does: what is written is what is served
            print(f"inferloom: warning: hints are left aside: {error}", file=sys.stderr)
            return model_face(found, taken=taken, part=part)

    return Source(name, tensors, lock)


async def _document(transport: Transport, kind: str, name: str) -> dict[str, Any] | None:
    """A document's spec; None where there is none, or the server is a Triton by itself."""
    request = mesh_pb2.GetDocumentRequest(kind=kind, name=name).SerializeToString()
    try:
        answer, _ = await transport.unary(
            f"{_MESH}/GetDocument", request, mesh_pb2.GetDocumentResponse, timeout=PATIENCE
        )
    except Unsupported:
        return None
    found: dict[str, Any] = json.loads(answer.document.spec_json or "{}")
    return found or None


async def _described(transport: Transport, name: str) -> Description | None:
    """The types of a service or pipeline; None for a model in a Triton, which has none."""
    request = typed_pb2.DescribeRequest(model_name=name).SerializeToString()
    path = "/inferloom.v1.TypedService/Describe"
    try:
        told, _ = await transport.unary(path, request, typed_pb2.DescribeResponse, timeout=PATIENCE, model=name)
    except (Unsupported, ModelNotFound):
        return None
    return Description(
        told.description, json.loads(told.request_schema), json.loads(told.response_schema), told.streams, told.method
    )
