"""The face of a service or pipeline: from the JSON Schemas of what it takes and gives.

object -> message, array -> repeated (a message of `values` where it is nested), string, bytes (base64), integer, number,
boolean, a mapping of one type -> map; what has no type of its own (a union, any) -> google.protobuf.Value.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from inferloom.services.answerer import Description
from inferloom.services.proto.describe import DESCRIBED, describe_method, description_messages
from inferloom.services.proto.face import NOTICED, VALUE, Coding, Face, Field, Message, Method, Shape
from inferloom.services.proto.model import service_name
from inferloom.services.proto.names import Names, camel, segment
from inferloom.services.proto.schema_comment import comment_of
from inferloom.services.proto.schema_types import integer, merged, tagged_bytes

__all__ = ["service_face"]

_MESSAGES = ("PredictRequest", "PredictResponse", "PredictStreamRequest", "PredictStreamResponse", *DESCRIBED)
_DEFS = "#/$defs/"
_DEEP = 32  # references that lead to references
_SCALARS = {"string": "string", "boolean": "bool", "number": "double"}


def service_face(
    name: str, described: Description, path: str, *, major: int = 1, taken: Collection[str] = (), part: str = ""
) -> Face:
    """The face of a service's method or a pipeline, its fields not yet numbered: see `lock.numbered`.

    Args:
        name: in the catalog.
        described: as its host tells it.
        path: of its JSON over HTTP: /v1/ReadDigit, /v1/ReadDigit:explain.
        taken: parts of packages that other names have.
        part: of the package, where a lock knows it.
    """
    where, warning = segment(name, taken, part)
    method = "PredictStream" if described.streams else "Predict"
    names = Names("message", str.lower, "")
    for each in _MESSAGES:
        names.keep(each)
    takes = _Side(described.request, names, request=True)
    request = takes.message(f"{method}Request", described.request)
    gives = _Side(described.response, names, request=False, shared=takes)
    response = gives.message(f"{method}Response", described.response)
    comment = ("Answers come one by one." if described.streams else described.text or "Calls it.",)
    predict = Method(method, request.name, response.name, "post", path, described.streams, comment)
    return Face(
        name=name,
        major=major,
        package=f"inferloom.models.{where}.v{major}",
        service=service_name(name),
        methods=(predict, describe_method(path)),
        messages=(request, response, *takes.made, *gives.made, *description_messages(typed=True)),
        typed=True,
        comment=(described.text,) if described.text else (),
        warnings=(*([warning] if warning else []), *takes.warnings, *gives.warnings, *names.warnings),
    )


@dataclass(frozen=True, slots=True)
class _Type:
    name: str
    repeated: bool = False
    mapped: bool = False
    nullable: bool = False
    coding: Coding | None = None


class _Side:
    """The messages of one schema."""

    def __init__(self, schema: Mapping[str, Any], names: Names, *, request: bool, shared: _Side | None = None) -> None:
        self.definitions: Mapping[str, Any] = schema.get("$defs", {})
        self.made: list[Message] = []
        self.warnings: list[str] = []
        self._names = names
        self._request = request
        self._wrappers: list[Message] = shared._wrappers if shared is not None else []
        self._known: dict[str, str] = {}  # definition -> message
        if shared is not None:
            self._known = {key: name for key, name in shared._known.items() if self._reach(key) == shared._reach(key)}

    def message(self, name: str, schema: Mapping[str, Any]) -> Message:
        """The message of a whole request or response; one field `value` where it is no object."""
        schema = self._resolved(schema)
        if _is_object(schema):
            return Message(name, self._fields(schema), (NOTICED,) if self._request else ())
        found = self._type(schema, "value")
        field = Field("value", 0, found.name, found.repeated, mapped=found.mapped, coding=found.coding)
        field = replace(field, optional=found.nullable and not found.repeated, comment=comment_of(schema))
        return Message(name, (field,), shape=Shape.BARE)

    def _fields(self, schema: Mapping[str, Any]) -> tuple[Field, ...]:
        names = Names("field")
        required = schema.get("required", ())
        fields = []
        for key, each in schema.get("properties", {}).items():
            found = self._type(each, key)
            single = not (found.repeated or found.mapped)
            absent = self._request or found.nullable or key not in required
            fields.append(
                Field(
                    names.add(key),
                    0,
                    found.name,
                    found.repeated,
                    optional=single and absent and found.name != VALUE and not self._is_message(found.name),
                    required=self._request and key in required,
                    mapped=found.mapped,
                    comment=comment_of(self._resolved(each), absent=self._request and key not in required),
                    key=key,
                    coding=found.coding,
                )
            )
        self.warnings += names.warnings
        return tuple(fields)

    def _is_message(self, name: str) -> bool:
        return name[:1].isupper()

    def _type(self, schema: Mapping[str, Any], key: str) -> _Type:
        schema, nullable = merged(schema)
        reference = schema.get("$ref", "")
        schema = self._resolved(schema)
        if nullable is False:
            schema, nullable = merged(schema)
        if tagged_bytes(schema):
            return _Type("bytes", nullable=nullable, coding=Coding.TAGGED)
        kind = schema.get("type")
        if kind == "array":
            return replace(self._list(schema, key), nullable=nullable)
        if kind == "object":
            return replace(self._object(schema, reference, key), nullable=nullable)
        if kind == "string" and schema.get("contentEncoding") == "base64":
            return _Type("bytes", nullable=nullable, coding=Coding.BASE64)
        if kind == "integer":
            return _Type(integer(schema), nullable=nullable)
        return _Type(_SCALARS.get(str(kind), VALUE), nullable=nullable)

    def _list(self, schema: Mapping[str, Any], key: str) -> _Type:
        items = schema.get("items")
        first = schema.get("prefixItems")
        if first and all(each == first[0] for each in first) and items in (None, False):
            items = first[0]
        if not isinstance(items, dict) or (first and items is not first[0]):
            return _Type(VALUE)
        found = self._type(items, key)
        if found.nullable:
            return _Type(VALUE)
        if found.repeated or found.mapped:
            return _Type(self._wrapper(found), repeated=True)
        return replace(found, repeated=True)

    def _object(self, schema: Mapping[str, Any], reference: str, key: str) -> _Type:
        if _is_object(schema):
            return _Type(self._defined(schema, reference, key))
        values = schema.get("additionalProperties")
        if not isinstance(values, dict):
            return _Type(VALUE)
        found = self._type(values, key)
        if found.nullable:
            return _Type(VALUE)
        if found.repeated or found.mapped:
            found = _Type(self._wrapper(found))
        return replace(found, mapped=True)

    def _defined(self, schema: Mapping[str, Any], reference: str, key: str) -> str:
        """The message of a definition, or of an object that stands where it is used."""
        if reference in self._known:
            return self._known[reference]
        name = self._names.keep(camel(str(schema.get("title") or reference.removeprefix(_DEFS) or key)))
        if reference:
            self._known[reference] = name  # before its fields: it may hold itself
        place = len(self.made)
        self.made.insert(place, Message(name, self._fields(schema), comment_of(schema)))
        return name

    def _wrapper(self, found: _Type) -> str:
        """A message that stands for the bare list or mapping within another."""
        field = Field("values", 0, found.name, found.repeated, mapped=found.mapped, coding=found.coding)
        name = camel(found.name if found.name != VALUE else "Value")
        name = f"{name}Map" if found.mapped else f"{name}List" if found.name[:1].isupper() else f"{name}Row"
        for known in self._wrappers:
            if known.fields == (field,):
                return known.name
        made = Message(self._names.keep(name), (field,), ("A list within a list.",), shape=Shape.LIST)
        self.made.append(made)
        self._wrappers.append(made)
        return made.name

    def _reach(self, reference: str) -> dict[str, Any]:
        """A definition and all it leads to: where they are the same on both sides, so is the message."""
        found: dict[str, Any] = {}
        ahead = [reference]
        while ahead:
            each = ahead.pop()
            if each not in found:
                found[each] = self.definitions.get(each.removeprefix(_DEFS))
                ahead += _references(found[each])
        return found

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        for _ in range(_DEEP):
            reference = schema.get("$ref")
            if not isinstance(reference, str):
                return schema
            beside = {key: value for key, value in schema.items() if key != "$ref"}
            schema = {**self.definitions.get(reference.removeprefix(_DEFS), {}), **beside}
        return {}


def _is_object(schema: Mapping[str, Any]) -> bool:
    """Whether its keys are known; otherwise it is a mapping."""
    return schema.get("type") == "object" and (
        bool(schema.get("properties")) or schema.get("additionalProperties") is False
    )


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [found for each in value.values() for found in _references(each)]
    return [found for each in value for found in _references(each)] if isinstance(value, list) else []
