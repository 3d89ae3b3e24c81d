"""The result of a function: to tensors, to JSON, from tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic_core import PydanticSerializationError

from inferloom.clients.metadata import TensorSpec
from inferloom.mesh.errors import ConfigError, InvalidInput
from inferloom.services.tensor import Tensor, Tensors
from inferloom.services.typed.choose import codec_of
from inferloom.services.typed.codec import Codec
from inferloom.services.typed.fields import Fields, fields_of
from inferloom.services.typed.hints import spelled
from inferloom.services.typed.json_adapter import JsonAdapter, record
from inferloom.services.typed.types import RESULT

__all__ = ["Outputs"]

CURE = "give each a type as an argument has one"


class Outputs:
    """A result, prepared once.

    Args:
        where: the function's name, for messages.
        codecs: by the output's name.
        fields: None where the result is one value (or nothing at all).
        adapter: writes JSON: an object of the fields, or the one value.
    """

    def __init__(self, where: str, codecs: dict[str, Codec], fields: Fields | None, adapter: JsonAdapter) -> None:
        self._where = where
        self._codecs = codecs
        self._fields = fields
        self._adapter = adapter
        self._plan = [(name, f"'{name}'", codec) for name, codec in codecs.items()]
        self.specs = tuple(TensorSpec(name, codec.datatype, codec.shape) for name, codec in codecs.items())

    @staticmethod
    def of(annotation: Any, where: str, place: str) -> Outputs:
        """Raises ConfigError where a type has no tensor; names the field."""
        if annotation is None or annotation is type(None):
            return Outputs(where, {}, None, JsonAdapter(type(None)))
        try:
            fields = fields_of(annotation)
        except NameError as error:
            raise ConfigError(f"{where}: a field of its result cannot be read: {error} ({place}); {CURE}") from None
        types = {RESULT: annotation} if fields is None else fields.types
        codecs = {name: _codec(each, name, annotation, where, place) for name, each in types.items()}
        if fields is None:
            return Outputs(where, codecs, None, JsonAdapter(codecs[RESULT].annotation))
        if fields.model:
            return Outputs(where, codecs, fields, JsonAdapter(annotation))
        written = {name: codec.annotation for name, codec in codecs.items()}
        return Outputs(where, codecs, fields, JsonAdapter(record(annotation.__name__, written)))

    def encode(self, value: Any) -> list[tuple[str, Tensor]]:
        get = self._getter(value)
        try:
            return [(name, codec.encode(get(name), label)) for name, label, codec in self._plan]
        except InvalidInput as error:
            raise TypeError(f"the result of {self._where}: {error}") from None

    def write(self, value: Any) -> bytes:
        get = self._getter(value)
        try:
            if self._fields is None:
                return self._adapter.write(self._codecs[RESULT].plain(value, f"'{RESULT}'") if self._codecs else None)
            if self._fields.model:
                return self._adapter.write(value)
            return self._adapter.write({name: codec.plain(get(name), label) for name, label, codec in self._plan})
        except InvalidInput as error:
            raise TypeError(f"the result of {self._where}: {error}") from None
        except PydanticSerializationError as error:
            raise TypeError(f"the result of {self._where}: {' '.join(str(error).split())}") from None

    def decode(self, tensors: Tensors) -> Any:
        values = {}
        for name, _, codec in self._plan:
            tensor = tensors.get(name)
            if tensor is None:
                raise InvalidInput(f"{self._where} answered without its output '{name}'")
            values[name] = codec.decode(tensor, f"output '{name}' of {self._where}")
        if self._fields is not None:
            return self._fields.build(values)
        return values[RESULT] if values else None

    def schema(self) -> dict[str, Any]:
        return self._adapter.schema("serialization")

    def _getter(self, value: Any) -> Callable[[str], Any]:
        if self._fields is not None:
            if not isinstance(value, self._fields.kind):
                wanted = self._fields.kind.__name__
                raise TypeError(f"the result of {self._where} is annotated {wanted}, but it returned {_kind(value)}")
            return lambda name: getattr(value, name)
        if not self._codecs and value is not None:
            raise TypeError(f"the result of {self._where} is annotated None, but it returned {_kind(value)}")
        return lambda name: value


def _kind(value: Any) -> str:
    return "None" if value is None else type(value).__name__


def _codec(annotation: Any, name: str, whole: Any, where: str, place: str) -> Codec:
    try:
        return codec_of(annotation)
    except ConfigError as error:
        what = "its result" if annotation is whole else f"field '{name}' of its result"
        raise ConfigError(f"{where}: {what} is {spelled(annotation)}: {error} ({place}); {CURE}") from None
