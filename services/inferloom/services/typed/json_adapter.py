"""pydantic, set to what JSON over the wire needs.

Bytes are base64 in the standard alphabet (pydantic would write the one for addresses, which other languages' decoders
refuse or, worse, skip), not a number and the infinities are strings, and fields nobody knows are refused, in nested
dataclasses and in pydantic models that do not say otherwise.
"""

from __future__ import annotations

import base64
from typing import Any, NewType

from pydantic import ConfigDict, PydanticUserError, TypeAdapter
from pydantic.errors import PydanticUndefinedAnnotation
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode
from pydantic_core import SchemaError, SchemaSerializer, SchemaValidator, core_schema
from typing_extensions import TypedDict

from inferloom.mesh.errors import ConfigError

__all__ = ["JsonAdapter", "record"]

CONFIG = ConfigDict(extra="forbid", val_json_bytes="base64", ser_json_bytes="base64", ser_json_inf_nan="strings")
_CORE = core_schema.CoreConfig(
    extra_fields_behavior="forbid", val_json_bytes="base64", ser_json_bytes="base64", ser_json_inf_nan="strings"
)


def record(name: str, fields: dict[str, Any]) -> Any:
    """A type of JSON objects with these fields; unlike a model's, their names may be any."""
    make: Any = TypedDict  # checkers know it as a form of class only
    made = make(name, fields)
    made.__pydantic_config__ = CONFIG
    return made


class JsonAdapter:
    """Reads and writes one type as JSON.

    Raises:
        ConfigError: pydantic cannot; says why.
    """

    def __init__(self, annotation: Any) -> None:
        try:
            self._adapter = _adapter(annotation)
        except (PydanticUserError, PydanticUndefinedAnnotation, SchemaError, TypeError) as error:
            raise ConfigError(_first_line(error)) from None
        schema = self._adapter.core_schema
        self._validator = SchemaValidator(schema, _CORE)
        self._serializer = SchemaSerializer(_amended(schema), _CORE)
        # A type's own word that further fields may pass stands; where none says so, they are refused everywhere.
        self._extra: Any = None if _decided(schema) else "forbid"

    def read(self, data: bytes) -> Any:
        """Raises pydantic's ValidationError."""
        return self._validator.validate_json(data, extra=self._extra)

    def check(self, value: Any) -> Any:
        """The value as the type has it, with its constraints. Raises pydantic's ValidationError."""
        return self._validator.validate_python(value)

    def write(self, value: Any) -> bytes:
        """Raises pydantic's PydanticSerializationError where the value is not of the type."""
        return self._serializer.to_json(value, by_alias=True, warnings="error")

    def schema(self, mode: JsonSchemaMode) -> dict[str, Any]:
        """JSON Schema; further definitions under "$defs"."""
        return self._adapter.json_schema(mode=mode, schema_generator=_Schema)


def _adapter(annotation: Any) -> TypeAdapter[Any]:
    # pydantic takes no configuration for a class that could have one of its own; under another name it does, and hands it
    # down to dataclasses that have none.
    rename: Any = NewType
    return TypeAdapter(rename("Value", annotation), config=CONFIG)


class _Schema(GenerateJsonSchema):
    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012  # as pydantic declares it

    def bytes_schema(self, schema: core_schema.BytesSchema) -> dict[str, Any]:
        if self._config.ser_json_bytes != "base64":
            return super().bytes_schema(schema)
        return {"type": "string", "contentEncoding": "base64"}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _amended(schema: Any) -> Any:
    """A copy in which bytes are written as base64, everywhere but in pydantic models, which have their own word."""
    if isinstance(schema, list):
        return [_amended(each) for each in schema]
    if isinstance(schema, tuple):
        return tuple(_amended(each) for each in schema)
    if not isinstance(schema, dict) or schema.get("type") == "model":
        return schema
    made = {key: value if key == "metadata" else _amended(value) for key, value in schema.items()}
    if schema.get("type") == "bytes" and "serialization" not in schema:
        written = core_schema.plain_serializer_function_ser_schema(_base64, when_used="json")
        return made | {"serialization": written}
    if schema.get("type") in ("dataclass", "typed-dict"):
        return made | {"config": {**_CORE, **schema.get("config", {})}}
    return made


def _decided(schema: Any) -> bool:
    """Whether a type in it says itself that unknown fields are let pass."""
    if isinstance(schema, (list, tuple)):
        return any(_decided(each) for each in schema)
    if not isinstance(schema, dict):
        return False
    said = (schema.get("extra_behavior"), schema.get("extra_fields_behavior"))
    if "allow" in said or "ignore" in said:
        return True
    return any(_decided(value) for key, value in schema.items() if key != "metadata")


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0]
