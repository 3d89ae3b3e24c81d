"""A face's tensors, each with what reads and writes its elements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from inferloom.services.proto.face import Face, Form, TensorBinding
from inferloom.services.typed.model_elements import Array, Element
from inferloom.services.typed.model_gather import Faults, Place, element_path
from inferloom.services.typed.nested import Misfit

__all__ = ["Bound", "array_of", "bound", "place"]


@dataclass(frozen=True, slots=True)
class Bound:
    """One tensor of a face."""

    binding: TensorBinding
    element: Element
    columns: int  # elements of the last dimension, by which limits go; 1 where one limit is for all

    @property
    def name(self) -> str:
        return self.binding.tensor.name


def bound(face: Face) -> tuple[tuple[Bound, ...], tuple[Bound, ...]]:
    """The inputs and the outputs."""
    sides = (face.inputs, face.outputs)
    inputs, outputs = (tuple(_bound(face, binding) for binding in side) for side in sides)
    return inputs, outputs


def _bound(face: Face, binding: TensorBinding) -> Bound:
    by_column = binding.form in (Form.COLUMNS, Form.TABLE) and binding.columns
    columns = len(binding.columns) if by_column else 1
    return Bound(binding, Element(binding, face.enum(binding.type)), columns)


def place(face: Face) -> Place:
    """Where the fields of a row are in a request."""
    return (lambda row: f"rows[{row}].") if face.rows else (lambda row: "")


def array_of(
    one: Bound, natives: list[Any] | Array, shape: tuple[int, ...], rows: int | None, at: Place, faults: Faults
) -> Array | None:
    """The tensor of native values, row-major; None where one is out of bounds, which is noted.

    Args:
        shape: of one row.
        rows: how many there are; None: the face has none.
    """
    if isinstance(natives, list):
        array = one.element.array(natives, one.columns)
    else:
        array = one.element.bounded(natives, one.columns)
    if array is not None:
        return array.reshape(shape if rows is None else (rows, *shape))
    before = len(faults)
    for index, value in enumerate(natives if isinstance(natives, list) else natives.tolist()):
        try:
            one.element.check(value, index % one.columns)
        except Misfit as misfit:
            faults.add(element_path(one.binding, shape, at, index), misfit.what)
            if faults.enough:
                break
    if len(faults) == before:  # the two ways of checking must agree; a request is never let pass on a doubt
        faults.add(element_path(one.binding, shape, at, 0).rpartition("[")[0] or one.binding.fields[0], "does not fit")
    return None
