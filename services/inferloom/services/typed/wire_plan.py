"""What the fields of a face's messages are on the wire of protobuf."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from inferloom.services.proto.face import Face, Field

__all__ = ["FIXED32", "FIXED64", "LENGTH", "VARINT", "Plan", "PlanField", "plan"]

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
_FIXED: dict[str, tuple[np.dtype[Any], int]] = {
    "float": (np.dtype("<f4"), FIXED32),
    "double": (np.dtype("<f8"), FIXED64),
}
_SIGNED = ("int32", "int64")


@dataclass(frozen=True, slots=True)
class PlanField:
    """One field."""

    name: str
    number: int
    repeated: bool
    wire: int  # wire type of one element; packed lists are LENGTH
    dtype: np.dtype[Any] | None = None  # of FIXED32 and FIXED64
    signed: bool = False  # of VARINT
    inner: Plan | None = None  # of messages; LENGTH without it is text or bytes

    @property
    def packed(self) -> bool:
        return self.repeated and self.wire != LENGTH

    def tag(self) -> int:
        return self.number << 3 | (LENGTH if self.packed else self.wire)


@dataclass(frozen=True, slots=True)
class Plan:
    """One message: its fields by number and by name."""

    numbers: dict[int, PlanField]
    names: dict[str, PlanField]


def plan(face: Face, message: str) -> Plan:
    """The plan of a message of a model's face; they do not contain themselves."""
    fields = [_field(face, field) for field in face.message(message).fields]
    return Plan({each.number: each for each in fields}, {each.name: each for each in fields})


def _field(face: Face, field: Field) -> PlanField:
    name, number, repeated = field.name, field.number, field.repeated
    if field.type in _FIXED:
        dtype, wire = _FIXED[field.type]
        return PlanField(name, number, repeated, wire, dtype)
    if field.type in ("string", "bytes"):
        return PlanField(name, number, repeated, LENGTH)
    if any(message.name == field.type for message in face.messages):
        return PlanField(name, number, repeated, LENGTH, inner=plan(face, field.type))
    return PlanField(name, number, repeated, VARINT, signed=field.type in _SIGNED or face.enum(field.type) is not None)
