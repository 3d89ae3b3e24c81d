"""A pipeline's spec, as YAML or JSON, to the one message it is, and back.

`graph_from` takes the message's JSON form and the shorter forms of `shorthand`; `spec_of` gives the canonical form, so
whatever was written comes back the same way, and equal graphs are equal documents.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError

from inferloom.clients.near import nearest
from inferloom.mesh.errors import InvalidInput
from inferloom.services.composer.shorthand import expanded
from inferloom.v1 import graph_pb2

__all__ = ["graph_from", "hint", "spec_of"]

_VALUE = "google.protobuf.Value"
_MAPS = ("inputs", "constants", "parameters", "values", "overrides")
_INTEGERS = {FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_UINT32}


def graph_from(spec: Mapping[str, Any], name: str) -> graph_pb2.Graph:
    """The graph that a spec describes, called `name`.

    Raises:
        InvalidInput: a field that there is not, or a value of the wrong type; names its path and what would be right.
    """
    if not isinstance(spec, Mapping):
        raise InvalidInput(f"spec: {_told(spec)}; a pipeline is a mapping of inputs, nodes and outputs")
    if spec.get("name", name) != name:
        raise InvalidInput(f"name: {spec['name']!r}, but the pipeline is called {name!r}; leave it out of the spec")
    whole = expanded({**spec, "name": name})
    _fits(whole, graph_pb2.Graph.DESCRIPTOR, "")
    for index, node in enumerate(whole.get("nodes", ())):
        if not node.get("name"):
            raise InvalidInput(f"nodes[{index}].name: missing; every node has a name that others refer to")
    try:
        return ParseDict(whole, graph_pb2.Graph())
    except ParseError as error:  # what `_fits` let through: a number out of its range
        raise InvalidInput(f"pipeline {name}: {error}") from error


def spec_of(graph: graph_pb2.Graph) -> dict[str, Any]:
    """The canonical form, without the name: what is stored, compared and shown."""
    spec: dict[str, Any] = _tidy(MessageToDict(graph, preserving_proto_field_name=True))
    spec.pop("name", None)
    for tensor in [*spec.get("inputs", ()), *spec.get("outputs", ())]:
        if "shape" in tensor:  # the JSON form of int64 is text
            tensor["shape"] = [int(size) for size in tensor["shape"]]
    return spec


def hint(name: str, known: Iterable[str]) -> str:
    """ "; did you mean 'x'?", or what there is where nothing is near."""
    names = sorted(set(known))
    if near := nearest(name, names):
        return f"; did you mean '{near}'?"
    return f"; there is {', '.join(names[:12])}{' ...' if len(names) > 12 else ''}" if names else ""


def _tidy(value: Any, field: str = "") -> Any:
    """A weight of 2, not 2.0, as people write it; and the order of a map, which a message does not keep, by name."""
    if isinstance(value, dict):
        pairs = sorted(value.items()) if field in _MAPS else value.items()
        return {key: _tidy(inner, key) for key, inner in pairs}
    if isinstance(value, list):
        return [_tidy(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _fits(value: Mapping[str, Any], descriptor: Any, path: str) -> None:
    fields = {field.name: field for field in descriptor.fields}
    chosen: dict[str, str] = {}
    for key, inner in value.items():
        where = f"{path}.{key}" if path else str(key)
        field = fields.get(key)
        if field is None:
            raise InvalidInput(f"{where}: unknown{hint(str(key), fields)}")
        if (oneof := field.containing_oneof) is not None:
            if oneof.name in chosen:
                raise InvalidInput(f"{path}: both {chosen[oneof.name]} and {key}; give one of them")
            chosen[oneof.name] = str(key)
        _fits_field(inner, field, where)


def _fits_field(value: Any, field: Any, path: str) -> None:
    message = field.message_type
    if message is not None and message.GetOptions().map_entry:
        if not isinstance(value, Mapping):
            raise InvalidInput(f"{path}: {_told(value)}; it is a mapping of names")
        for key, inner in value.items():
            if not isinstance(key, str):
                raise InvalidInput(f"{path}: the key {key!r} is no text; put it in quotes")
            _fits_one(inner, message.fields_by_name["value"], f"{path}.{key}")
    elif field.is_repeated:
        if not isinstance(value, list | tuple):
            raise InvalidInput(f"{path}: {_told(value)}; it is a list")
        for index, inner in enumerate(value):
            _fits_one(inner, field, f"{path}[{index}]")
    else:
        _fits_one(value, field, path)


def _fits_one(value: Any, field: Any, path: str) -> None:
    message = field.message_type
    if message is not None:
        if message.full_name == _VALUE:
            return
        if not isinstance(value, Mapping):
            raise InvalidInput(
                f"{path}: {_told(value)}; it is a mapping of {', '.join(f.name for f in message.fields)}"
            )
        _fits(value, message, path)
    elif field.type == FieldDescriptor.TYPE_STRING:
        _needs(value, isinstance(value, str), path, "text")
    elif field.type == FieldDescriptor.TYPE_BOOL:
        _needs(value, isinstance(value, bool), path, "true or false")
    elif field.type in _INTEGERS:
        whole = isinstance(value, int) and not isinstance(value, bool)
        _needs(value, whole, path, "a whole number")
        if field.type == FieldDescriptor.TYPE_UINT32:
            _needs(value, 0 <= value < 2**32, path, "a whole number from 0")
    else:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        _needs(value, number and math.isfinite(value), path, "a number")


def _needs(value: Any, right: bool, path: str, wanted: str) -> None:
    if not right:
        raise InvalidInput(f"{path}: {_told(value)}; it is {wanted}")


def _told(value: Any) -> str:
    names = {dict: "a mapping", list: "a list", str: "text", type(None): "nothing"}
    shown = f" ({value!r})" if isinstance(value, str | int | float | bool) else ""
    return f"is {names.get(type(value), type(value).__name__)}{shown}"
