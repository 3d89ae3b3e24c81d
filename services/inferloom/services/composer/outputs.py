"""What a pipeline's function returns."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

__all__ = ["Outputs", "fields_of"]


class Outputs:
    """The outputs of a pipeline, or of an arm, by name: `return Outputs(label=votes.label, share=votes.share)`."""

    def __init__(self, **outputs: Any) -> None:
        self.outputs = outputs

    def __repr__(self) -> str:
        return f"Outputs({', '.join(f'{name}={value!r}' for name, value in self.outputs.items())})"


def fields_of(value: Any) -> dict[str, Any] | None:
    """By name: of Outputs, a mapping, dataclass, NamedTuple or pydantic model. None of anything else."""
    if isinstance(value, Outputs):
        return value.outputs
    if isinstance(value, Mapping):
        return dict(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return dict(value._asdict())
    if hasattr(type(value), "model_fields"):
        return {name: getattr(value, name) for name in type(value).model_fields}
    return None
