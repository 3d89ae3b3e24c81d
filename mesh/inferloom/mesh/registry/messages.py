"""Catalog and documents as messages of `inferloom.v1`, both ways."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TypeVar

from inferloom.mesh.catalog import Kind, Model, Repeat, Replica, State
from inferloom.mesh.registry.base import Document
from inferloom.v1 import mesh_pb2 as pb

__all__ = ["document_from", "document_to", "model_from", "model_to", "replica_from", "replica_to"]

E = TypeVar("E", bound=StrEnum)

_TO_STATE = {
    State.STARTING: pb.REPLICA_STATE_STARTING,
    State.SERVING: pb.REPLICA_STATE_SERVING,
    State.DRAINING: pb.REPLICA_STATE_DRAINING,
}
_FROM_STATE = {number: state for state, number in _TO_STATE.items()}


def replica_to(replica: Replica) -> pb.Replica:
    return pb.Replica(
        model=replica.model,
        id=replica.id,
        host=replica.host,
        port=replica.port,
        state=_TO_STATE[replica.state],
        versions=replica.versions,
        http_port=replica.http_port,
        weight=replica.weight,
        locality=replica.locality,
        generation=replica.generation,
        healthy=replica.healthy,
        check=replica.check,
        problem=replica.problem,
        kind=replica.kind,
        repeat=replica.repeat,
        app_port=replica.app_port,
        pings=replica.pings,
    )


def replica_from(message: pb.Replica) -> Replica:
    return Replica(
        model=message.model,
        id=message.id,
        host=message.host,
        port=message.port,
        # A state that this version does not know takes no traffic.
        state=_FROM_STATE.get(message.state, State.STARTING),
        versions=tuple(message.versions),
        http_port=message.http_port,
        weight=message.weight,
        locality=message.locality,
        generation=message.generation,
        healthy=message.healthy,
        check=message.check,
        problem=message.problem,
        kind=_known(Kind, message.kind, Kind.MODEL, Kind.MODEL),
        # What this version does not know is not repeated.
        repeat=_known(Repeat, message.repeat, Repeat.ANY, Repeat.NEVER),
        app_port=message.app_port,
        pings=message.pings,
    )


def _known(kind: type[E], text: str, absent: E, unknown: E) -> E:
    if not text:
        return absent
    try:
        return kind(text)
    except ValueError:
        return unknown


def model_to(model: Model) -> pb.Model:
    return pb.Model(name=model.name, replicas=[replica_to(replica) for replica in model.replicas])


def model_from(message: pb.Model) -> Model:
    return Model(message.name, tuple(replica_from(replica) for replica in message.replicas))


def document_to(document: Document) -> pb.Document:
    return pb.Document(
        kind=document.kind,
        name=document.name,
        spec_json="" if document.spec is None else json.dumps(document.spec),
        version=document.version,
        author=document.author,
        time=document.time,
    )


def document_from(message: pb.Document) -> Document:
    spec = json.loads(message.spec_json) if message.spec_json else None
    return Document(message.kind, message.name, spec, message.version, message.author, message.time)
