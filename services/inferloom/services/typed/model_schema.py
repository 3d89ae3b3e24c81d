"""A model's JSON for OpenAPI 3.1: schemas of what it takes and gives, and an example that passes their checks."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np

from inferloom.clients.datatypes import BYTES, NUMPY
from inferloom.mesh.errors import InvalidInput
from inferloom.services.proto.face import ROWS, Face, Form, Limits, Message, TensorBinding
from inferloom.services.typed.model_elements import WIDE
from inferloom.services.typed.nested import CONSTANTS
from inferloom.services.typed.served import Served

__all__ = ["example_of", "request_schema", "response_schema"]

MOST = 8192  # elements of an example: a larger one is not shown
Schema = dict[str, Any]


def request_schema(face: Face) -> Schema:
    """Of the object that POST /v1/NAME takes."""
    made = _side(face, face.inputs, face.predict.request, request=True)
    return made if not face.rows else _rows(made, face.most_rows)


def response_schema(face: Face) -> Schema:
    """Of the object that it answers, or of one of its answers where it streams."""
    made = _side(face, face.outputs, face.predict.response, request=False)
    return made if not face.rows else _rows(made, 0)


def example_of(served: Served) -> Any | None:
    """The owner's example where it passes the checks, else one made up; None where that would be too large."""
    face = served.face
    for example in (face.example, _made_up(face)):
        if not example:
            continue
        try:
            served.json.read_value(example)
        except InvalidInput:
            continue
        return dict(example)
    return None


def _rows(row: Schema, most: int) -> Schema:
    rows: Schema = {"type": "array", "minItems": 1, "items": row} | ({"maxItems": most} if most else {})
    return {"type": "object", "properties": {ROWS: rows}, "required": [ROWS], "additionalProperties": False}


def _side(face: Face, bindings: tuple[TensorBinding, ...], message: str, *, request: bool) -> Schema:
    told = face.message(message)
    if face.rows:
        told = face.message(told[ROWS].type)
    properties: Schema = {}
    required: list[str] = []
    for binding in bindings:
        for name, schema in _fields(face, binding).items():
            properties[name] = _commented(told, name, schema)
            if not (request and binding.tensor.optional):
                required.append(name)
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _commented(message: Message, name: str, schema: Schema) -> Schema:
    comment = " ".join(message[name].comment)
    return {"description": comment, **schema} if comment else schema


def _fields(face: Face, binding: TensorBinding) -> dict[str, Schema]:
    name, shape = binding.fields[0], binding.shape
    match binding.form:
        case Form.VALUE:
            return {name: _element(face, binding, binding.limit())}
        case Form.COLUMNS:
            return {each: _element(face, binding, binding.limit(at)) for at, each in enumerate(binding.fields)}
        case Form.NESTED:
            inner = _object({"values": _list(_element(face, binding, binding.limit()), shape[1])})
            return {name: _list(inner, shape[0])}
        case Form.TABLE:
            columns = {each: _element(face, binding, binding.limit(at)) for at, each in enumerate(binding.columns)}
            return {name: _list(_object(columns), shape[0])}
        case Form.TENSOR:
            sizes = [{"const": size} if size >= 0 else {"type": "integer", "minimum": 0} for size in shape]
            told = {"type": "array", "prefixItems": sizes, "minItems": len(sizes), "maxItems": len(sizes)}
            return {name: _object({"shape": told, "values": _list(_element(face, binding, binding.limit()), -1)})}
        case _:
            size = prod(shape) if -1 not in shape else -1
            return {name: _list(_element(face, binding, binding.limit()), size)}


def _object(properties: Mapping[str, Schema]) -> Schema:
    required = list(properties)
    return {"type": "object", "properties": dict(properties), "required": required, "additionalProperties": False}


def _list(item: Schema, size: int) -> Schema:
    return {"type": "array", "items": item} | ({} if size < 0 else {"minItems": size, "maxItems": size})


def _element(face: Face, binding: TensorBinding, limits: Limits) -> Schema:
    enum = face.enum(binding.type)
    if enum is not None:
        return {"type": "string", "enum": [name for name, _, _ in enum.values]}
    if binding.labels:
        return {"type": "string", "enum": list(binding.labels)}
    if binding.tensor.datatype == BYTES:
        return {"type": "string", "contentEncoding": "base64"} if binding.type == "bytes" else {"type": "string"}
    dtype = NUMPY[binding.tensor.datatype]
    if dtype.kind == "b":
        return {"type": "boolean"}
    bounds: Schema = {}
    if dtype.kind in "iu":
        bounds = {"minimum": int(np.iinfo(dtype).min), "maximum": int(np.iinfo(dtype).max)}
    bounds |= {} if limits.least is None else {"minimum": limits.least}
    bounds |= {} if limits.most is None else {"maximum": limits.most}
    if dtype.kind in "iu":
        number: Schema = {"type": "integer"} | bounds
        return number if binding.type not in WIDE else {"anyOf": [number, {"type": "string", "pattern": "^-?[0-9]+$"}]}
    number = {"type": "number"} | bounds
    finite = limits.finite or limits.least is not None or limits.most is not None
    return number if finite else {"anyOf": [number, {"enum": list(CONSTANTS)}]}


def _made_up(face: Face) -> dict[str, Any]:
    size = sum(prod(1 if each < 0 else each for each in binding.shape) for binding in face.inputs)
    if size > MOST:
        return {}
    row: dict[str, Any] = {}
    for binding in face.inputs:
        row |= _written(face, binding)
    return {ROWS: [row]} if face.rows else row


def _written(face: Face, binding: TensorBinding) -> dict[str, Any]:
    name, shape = binding.fields[0], tuple(1 if size < 0 else size for size in binding.shape)
    value = _value(face, binding, binding.limit())
    match binding.form:
        case Form.VALUE:
            return {name: value}
        case Form.COLUMNS:
            return {each: _value(face, binding, binding.limit(at)) for at, each in enumerate(binding.fields)}
        case Form.NESTED:
            return {name: [{"values": [value] * shape[1]}] * shape[0]}
        case Form.TABLE:
            row = {each: _value(face, binding, binding.limit(at)) for at, each in enumerate(binding.columns)}
            return {name: [row] * shape[0]}
        case Form.TENSOR:
            return {name: {"shape": list(shape), "values": [value] * prod(shape)}}
        case _:
            return {name: [value] * prod(shape)}


def _value(face: Face, binding: TensorBinding, limits: Limits) -> Any:
    enum = face.enum(binding.type)
    if enum is not None:
        return enum.values[0][0]
    if binding.labels:
        return binding.labels[0]
    if binding.tensor.datatype == BYTES:
        return "aGVsbG8=" if binding.type == "bytes" else "hello"
    dtype = NUMPY[binding.tensor.datatype]
    if dtype.kind == "b":
        return False
    middle = _middle(limits)
    return int(middle) if dtype.kind in "iu" else middle


def _middle(limits: Limits) -> float:
    if limits.least is not None and limits.most is not None:
        return round((limits.least + limits.most) / 2, 3) if limits.most - limits.least > 1 else limits.least
    if limits.least is not None:
        return max(limits.least, 0.5)
    return min(limits.most, 0.5) if limits.most is not None else 0.5
