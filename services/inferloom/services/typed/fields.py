"""Results with named fields: one output for each."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel

from inferloom.services.typed.hints import resolve

__all__ = ["Fields", "fields_of"]


@dataclasses.dataclass(frozen=True, slots=True)
class Fields:
    """A dataclass, pydantic model or NamedTuple."""

    kind: type
    types: Mapping[str, Any]  # by name, in order
    build: Callable[[dict[str, Any]], Any]  # one of its objects from the values
    model: bool = False  # pydantic's: it writes itself


def fields_of(annotation: Any, local: dict[str, Any] | None = None) -> Fields | None:
    """None where the type has no named fields. Raises NameError where a field's annotation cannot be resolved."""
    if not isinstance(annotation, type):
        return None
    if dataclasses.is_dataclass(annotation):
        hints = resolve(annotation, local)
        declared = dataclasses.fields(annotation)
        types = {field.name: hints[field.name] for field in declared}
        return Fields(annotation, types, _dataclass_builder(annotation, [f.name for f in declared if f.init]))
    if issubclass(annotation, BaseModel):
        if annotation.__pydantic_root_model__:
            return None
        hints = resolve(annotation, local)
        types = {name: hints[name] for name in annotation.model_fields}
        return Fields(annotation, types, lambda values: annotation.model_construct(**values), model=True)
    if issubclass(annotation, tuple) and hasattr(annotation, "_fields"):
        hints = resolve(annotation, local)
        types = {name: hints.get(name, Any) for name in annotation._fields}
        return Fields(annotation, types, lambda values: annotation(**values))
    return None


def _dataclass_builder(kind: type, taken: list[str]) -> Callable[[dict[str, Any]], Any]:
    def build(values: dict[str, Any]) -> Any:
        made = kind(**{name: values[name] for name in taken})
        for name in values.keys() - set(taken):
            object.__setattr__(made, name, values[name])
        return made

    return build
