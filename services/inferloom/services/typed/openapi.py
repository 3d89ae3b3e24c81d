"""OpenAPI 3.1 of the models, services and pipelines of a mesh."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

from inferloom.mesh.catalog import Kind
from inferloom.mesh.version import __version__
from inferloom.services.answerer import Description

__all__ = ["UNANSWERED", "Operation", "document", "path_of"]

UNANSWERED = "x-inferloom-unanswered"  # names that did not tell their types, and why
_PREFIX = "#/$defs/"
_TAGS = {Kind.MODEL: "models", Kind.SERVICE: "services", Kind.PIPELINE: "pipelines"}
_ERROR = {
    "type": "object",
    "description": "google.rpc.Status",
    "properties": {
        "code": {"type": "integer", "description": "of gRPC: 3 INVALID_ARGUMENT, 14 UNAVAILABLE, ..."},
        "message": {"type": "string"},
        "details": {
            "type": "array",
            "description": "google.rpc.BadRequest where fields are wrong",
            "items": {
                "type": "object",
                "properties": {
                    "@type": {"type": "string"},
                    "fieldViolations": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "properties": {"field": {"type": "string"}, "description": {"type": "string"}},
                        },
                    },
                },
                "required": ["@type"],
            },
        },
    },
    "required": ["code", "message", "details"],
}
_HEADERS = [
    {
        "name": "version",
        "in": "query",
        "required": False,
        "description": "the mesh's choice where none is named",
        "schema": {"type": "string"},
    },
    {
        "name": "X-Inferloom-Timeout",
        "in": "header",
        "required": False,
        "description": "seconds for all of it",
        "schema": {"type": "number", "exclusiveMinimum": 0},
    },
]


def path_of(name: str, known: Container[str]) -> str:
    """/v1/ReadDigit, and /v1/ReadDigit:explain for its method ReadDigit.explain."""
    service, _, method = name.rpartition(".")
    return f"/v1/{service}:{method}" if service in known else f"/v1/{name}"


@dataclass(frozen=True, slots=True)
class Operation:
    """What one name takes and gives."""

    described: Description
    kind: Kind
    example: Any = None  # of a request; None: there is none


def document(operations: Mapping[str, Operation], unanswered: Mapping[str, str]) -> dict[str, Any]:
    """The whole document.

    Args:
        operations: by the name in the catalog.
        unanswered: name -> why its types are not known.
    """
    schemas: dict[str, Any] = {"Error": _ERROR}
    paths = {}
    for name in sorted(operations):
        paths[path_of(name, operations)] = {"post": _operation(name, operations[name], schemas)}
    made: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "inferloom", "version": __version__, "description": "What this mesh serves."},
        "tags": [{"name": tag} for tag in _TAGS.values()],
        "paths": paths,
        "components": {"schemas": schemas},
    }
    if unanswered:
        made[UNANSWERED] = dict(unanswered)
    return made


def _operation(name: str, operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    described = operation.described
    request = _hoist(name, "request", described.request, schemas)
    response = {"schema": _hoist(name, "response", described.response, schemas)}
    kinds = ("application/x-ndjson", "text/event-stream") if described.streams else ("application/json",)
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    body = {"schema": request} | ({} if operation.example is None else {"example": operation.example})
    return {
        "operationId": name,
        "tags": [_TAGS[operation.kind]],
        "summary": described.text or name,
        "parameters": _HEADERS,
        "requestBody": {"required": True, "content": {"application/json": body}},
        "responses": {
            "200": {
                "description": "answers, one by one" if described.streams else "the answer",
                "content": dict.fromkeys(kinds, response),
            },
            "default": {"description": "an error", "content": error},
        },
    }


def _hoist(name: str, side: str, schema: Mapping[str, Any], schemas: dict[str, Any]) -> Any:
    """The schema with its definitions moved to the document's components, under names of their own."""
    prefix = re.sub(r"[^A-Za-z0-9._-]", "_", f"{name}.{side}.")
    moved = {key: value for key, value in schema.items() if key != "$defs"}
    for key, definition in schema.get("$defs", {}).items():
        schemas[prefix + key] = _pointed(definition, prefix)
    return _pointed(moved, prefix)


def _pointed(value: Any, prefix: str) -> Any:
    if isinstance(value, dict):
        return {
            key: _target(each, prefix) if key in ("$ref", "mapping") else _pointed(each, prefix)
            for key, each in value.items()
        }
    return [_pointed(each, prefix) for each in value] if isinstance(value, list) else value


def _target(value: Any, prefix: str) -> Any:
    """A pointer, or a discriminator's mapping of them."""
    if isinstance(value, dict):
        return {key: _target(each, prefix) for key, each in value.items()}
    if isinstance(value, str) and value.startswith(_PREFIX):
        return f"#/components/schemas/{prefix}{value.removeprefix(_PREFIX)}"
    return value
