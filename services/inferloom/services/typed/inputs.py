"""The arguments of a function: from tensors, from JSON, to tensors."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_core import to_jsonable_python

from inferloom.clients.metadata import TensorSpec
from inferloom.mesh.errors import InvalidInput
from inferloom.services.tensor import Tensor, Tensors
from inferloom.services.typed.codec import Codec
from inferloom.services.typed.faults import invalid, meant, shown
from inferloom.services.typed.json_adapter import JsonAdapter, record

__all__ = ["Input", "Inputs"]


class Input(NamedTuple):
    """One argument."""

    spec: TensorSpec
    codec: Codec
    annotation: Any  # for JSON
    absent: bool  # None is sent by leaving it out
    default: Any = inspect.Parameter.empty


class Inputs:
    """All of them, prepared once.

    Raises:
        ConfigError: pydantic cannot make JSON of one.
    """

    def __init__(self, where: str, inputs: Sequence[Input]) -> None:
        self._where = where
        self._inputs = {each.spec.name: each for each in inputs}
        self._plan = [
            (i.spec.name, f"input '{i.spec.name}' of {where}", i.codec.decode, i.spec.optional) for i in inputs
        ]
        self._names = tuple(self._inputs)
        self._adapter = JsonAdapter(record(f"{where} arguments", {i.spec.name: i.annotation for i in inputs}))

    def decode(self, tensors: Tensors) -> dict[str, Any]:
        found = {}
        for name, label, decode, optional in self._plan:
            tensor = tensors.get(name)
            if tensor is not None:
                found[name] = decode(tensor, label)
            elif not optional:
                raise InvalidInput(f"input '{name}' is missing; {self._takes()}")
        if len(found) != len(tensors):
            raise self._unknown(next(name for name in tensors if name not in self._inputs))
        return found

    def read(self, body: bytes) -> dict[str, Any]:
        try:
            found: dict[str, Any] = self._adapter.read(body)
        except ValidationError as error:
            raise invalid(error, self._names, self._where) from None
        return found

    def encode(self, arguments: Mapping[str, Any]) -> dict[str, Tensor]:
        made = {}
        for name, label, _, optional in self._plan:
            if name not in arguments:
                if not optional:
                    raise InvalidInput(f"input '{name}' is missing; {self._takes()}")
                continue
            value, each = arguments[name], self._inputs[name]
            if value is None and each.absent:
                continue
            made[name] = each.codec.encode(value, label)
        for name in arguments:
            if name not in self._inputs:
                raise self._unknown(name)
        return made

    def schema(self) -> dict[str, Any]:
        """JSON Schema of the object that `read` takes."""
        schema = self._adapter.schema("validation")
        for name, each in self._inputs.items():
            default = _jsonable(each.default)
            if default is not None:
                schema["properties"][name]["default"] = default
        return schema

    def _unknown(self, name: str) -> InvalidInput:
        return InvalidInput(f"no input '{shown(name)}'{meant(name, self._names)}; {self._takes()}")

    def _takes(self) -> str:
        return f"{self._where} takes {', '.join(str(each.spec) for each in self._inputs.values()) or 'nothing'}"


def _jsonable(default: Any) -> Any:
    """A default as a reader of the schema should see it; None where there is none to show."""
    if default is inspect.Parameter.empty or isinstance(default, bytes):
        return None
    try:
        return to_jsonable_python(default, inf_nan_mode="strings")
    except ValueError:
        return None
