"""Messages of a service's or pipeline's face, and its own JSON, one made of the other.

Nothing is checked here: the JSON goes to whoever runs it, who knows its types.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from google.protobuf.message import DecodeError
from grpc import StatusCode
from pydantic_core import from_json, to_json

from inferloom.mesh.errors import InvalidInput, ReplicaError
from inferloom.services.proto.face import VALUE, Coding, Face, Field, Message, Shape
from inferloom.services.typed.nested import BASE64, CONSTANTS

__all__ = ["ServiceMessages"]


class ServiceMessages:
    """Reads requests and writes answers of one face.

    Args:
        classes: of its messages, by name.
    """

    def __init__(self, face: Face, classes: Mapping[str, Any]) -> None:
        self._face = face
        self._messages = {message.name: message for message in face.messages}
        self._labels = {each.name: {number: label for _, number, label in each.values} for each in face.enums}
        self._request = classes[face.predict.request]
        self._response = classes[face.predict.response]

    def read(self, payload: bytes) -> bytes:
        """The request as JSON. InvalidInput where the bytes are no such message."""
        try:
            message = self._request.FromString(payload)
        except DecodeError:
            name = f"{self._face.package}.{self._face.predict.request}"
            raise InvalidInput(f"the request is no {name}: its bytes do not parse") from None
        return to_json(self._plain(message, self._messages[self._face.predict.request]), inf_nan_mode="strings")

    def write(self, body: bytes) -> bytes:
        """The answer as a serialised message.

        Raises:
            ReplicaError: it is not what its own description says (INTERNAL).
        """
        try:
            made = self._fields(from_json(body), self._messages[self._face.predict.response])
            return bytes(self._response(**made).SerializeToString())
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            problem = f"the answer of {self._face.name} is not what its description says: {error}"
            raise ReplicaError(StatusCode.INTERNAL, problem[:500]) from None

    def _plain(self, message: Any, told: Message) -> Any:
        if told.shape is not Shape.OBJECT:
            (field,) = told.fields
            return self._value(message, field)
        return {
            field.key or field.name: self._value(message, field)
            for field in told.fields
            if self._is_there(message, field)
        }

    def _is_there(self, message: Any, field: Field) -> bool:
        if field.repeated or field.mapped:
            return field.required or len(getattr(message, field.name)) > 0
        if field.optional or field.type == VALUE or field.type in self._messages:
            return bool(message.HasField(field.name))
        return True

    def _value(self, message: Any, field: Field) -> Any:
        value = getattr(message, field.name)
        if field.mapped:
            return {key: self._one(each, field) for key, each in value.items()}
        if field.repeated:
            return [self._one(each, field) for each in value]
        if field.optional and not message.HasField(field.name):
            return None
        return self._one(value, field)

    def _one(self, value: Any, field: Field) -> Any:
        if field.type in self._messages:
            return self._plain(value, self._messages[field.type])
        if field.type == VALUE:
            return _struct(value)
        if field.type in self._labels:
            return self._labels[field.type].get(value)
        if field.type != "bytes":
            return value
        if field.coding is Coding.TAGGED:
            try:
                return value.decode()
            except UnicodeDecodeError:
                return {BASE64: base64.b64encode(value).decode()}
        return base64.b64encode(value).decode()

    def _fields(self, value: Any, told: Message) -> dict[str, Any]:
        """What a message's class takes."""
        if told.shape is not Shape.OBJECT:
            (field,) = told.fields
            return {} if value is None else {field.name: self._made(value, field)}
        return {
            field.name: self._made(value[key], field)
            for field in told.fields
            if (key := field.key or field.name) in value and (value[key] is not None or field.type == VALUE)
        }

    def _made(self, value: Any, field: Field) -> Any:
        if field.mapped:
            return {key: self._made_one(each, field) for key, each in value.items()}
        if field.repeated:
            return [self._made_one(each, field) for each in value]
        return self._made_one(value, field)

    def _made_one(self, value: Any, field: Field) -> Any:
        if field.type in self._messages:
            return self._fields(value, self._messages[field.type])
        if field.type == VALUE:
            return _struct_fields(value)
        if field.type in self._labels:
            return {label: number for number, label in self._labels[field.type].items()}.get(value, 0)
        if field.type in ("float", "double") and isinstance(value, str):
            return CONSTANTS[value]
        if field.type != "bytes":
            return value
        if isinstance(value, dict):
            return base64.b64decode(value[BASE64])
        return value.encode() if field.coding is Coding.TAGGED else base64.b64decode(value)


def _struct_fields(value: Any) -> dict[str, Any]:
    """What the class of google.protobuf.Value takes; those of lists and structs take JSON themselves."""
    if value is None:
        return {"null_value": 0}
    if isinstance(value, bool):
        return {"bool_value": value}
    if isinstance(value, (int, float)):
        return {"number_value": value}
    if isinstance(value, str):
        return {"string_value": value}
    if isinstance(value, list):
        return {"list_value": value}
    return {"struct_value": value}


def _struct(value: Any) -> Any:
    """The JSON of a google.protobuf.Value; whole numbers without a point, as they were written."""
    kind = value.WhichOneof("kind")
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() else number
    if kind == "struct_value":
        return {key: _struct(each) for key, each in value.struct_value.fields.items()}
    if kind == "list_value":
        return [_struct(each) for each in value.list_value.values]
    return None if kind in (None, "null_value") else getattr(value, kind)
