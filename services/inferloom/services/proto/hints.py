"""What the owner of a model says about its face beyond the metadata: names, units, labels, ranges, an example.

Written in a `service.yaml` beside the model; here as the values that travel in the model's document (`spec.hints`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from inferloom.mesh.errors import InvalidInput

__all__ = ["COLUMN_KEYS", "HINT_KEYS", "TENSOR_KEYS", "ColumnHint", "Hints", "TensorHint"]

HINT_KEYS = ("description", "rows", "inputs", "outputs", "example")
COLUMN_KEYS = ("name", "description", "unit", "range", "finite")
_SIDES = ("inputs", "outputs")
TENSOR_KEYS = (*COLUMN_KEYS, "columns", "labels", "enum", "type")


@dataclass(frozen=True, slots=True)
class ColumnHint:
    """A column of a tensor. `least` and `most` are what a number may be, both included."""

    name: str = ""
    description: str = ""
    unit: str = ""
    least: float | None = None
    most: float | None = None
    finite: bool = False  # NaN and the infinities are refused


@dataclass(frozen=True, slots=True)
class TensorHint(ColumnHint):
    """A tensor."""

    columns: tuple[ColumnHint, ...] = ()  # of the last dimension, all of them
    labels: tuple[str, ...] = ()  # texts of the integers 0, 1, 2, ...; of BYTES: what there is
    enum: bool = False  # the labels as an enum of the proto, instead of text
    type: Literal["", "string", "bytes"] = ""  # of BYTES; "": string


@dataclass(frozen=True, slots=True)
class Hints:
    """All hints of a model, self-contained: files of labels have been read."""

    description: str = ""
    rows: bool | None = None  # whether the first dimension is a batch; None: as the model's configuration says
    inputs: Mapping[str, TensorHint] = field(default_factory=dict)  # by the model's own names
    outputs: Mapping[str, TensorHint] = field(default_factory=dict)
    example: Mapping[str, Any] = field(default_factory=dict)  # a request, as the JSON of the face

    def to_json(self) -> dict[str, Any]:
        """For a document: as service.yaml has it, without what is not said."""
        said: dict[str, Any] = {"description": self.description} if self.description else {}
        if self.rows is not None:
            said["rows"] = self.rows
        for side, tensors in (("inputs", self.inputs), ("outputs", self.outputs)):
            if tensors:
                said[side] = {name: _said(tensor) for name, tensor in tensors.items()}
        return said | ({"example": dict(self.example)} if self.example else {})

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Hints:
        """Raises InvalidInput for what `to_json` does not write."""
        try:
            inputs, outputs = ({str(k): _tensor(v) for k, v in value.get(side, {}).items()} for side in _SIDES)
            rest = {key: entry for key, entry in value.items() if key not in _SIDES}
            return Hints(inputs=inputs, outputs=outputs, **rest)
        except (TypeError, ValueError, AttributeError) as error:
            raise InvalidInput(f"hints cannot be read: {error}") from None


def _said(hint: ColumnHint) -> dict[str, Any]:
    texts = {"name": hint.name, "description": hint.description, "unit": hint.unit}
    said: dict[str, Any] = {key: value for key, value in texts.items() if value}
    if hint.least is not None or hint.most is not None:
        said["range"] = [hint.least, hint.most]
    if hint.finite:
        said["finite"] = True
    if isinstance(hint, TensorHint):
        lists = {"columns": [_said(column) for column in hint.columns], "labels": list(hint.labels)}
        said |= {key: value for key, value in lists.items() if value}
        said |= {"enum": True} if hint.enum else {}
        said |= {"type": hint.type} if hint.type else {}
    return said


def _tensor(value: Mapping[str, Any]) -> TensorHint:
    columns = tuple(ColumnHint(**_ranged(column)) for column in value.get("columns", ()))
    labels = tuple(str(label) for label in value.get("labels", ()))
    return TensorHint(**{**_ranged(value), "columns": columns, "labels": labels})


def _ranged(value: Mapping[str, Any] | str) -> dict[str, Any]:
    """A column's or tensor's keys; a column may be its name alone."""
    if isinstance(value, str):
        return {"name": value}
    least, most = value.get("range", (None, None))
    return {key: entry for key, entry in value.items() if key != "range"} | {"least": least, "most": most}
