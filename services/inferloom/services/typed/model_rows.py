"""Rows of fields and tensors of a model, one made of the other: what its JSON and its messages have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

from grpc import StatusCode

from inferloom.mesh.errors import ReplicaError
from inferloom.services.proto.face import ROWS, Face, Form
from inferloom.services.typed.model_bound import Bound, array_of, bound, place
from inferloom.services.typed.model_elements import Array, Element
from inferloom.services.typed.model_gather import Faults, Gathered, gather

__all__ = ["ModelRows", "check_outputs", "check_rows", "unreadable"]

Natives = Callable[[Bound, Gathered, Faults], list[Any] | None]


class ModelRows:
    """Reads and writes the rows of one face; one row where it has no batch dimension."""

    def __init__(self, face: Face) -> None:
        self.face = face
        self.inputs, self.outputs = bound(face)
        self.at = place(face)

    def read(self, rows: Sequence[dict[str, Any]], faults: Faults, natives: Natives) -> dict[str, Array]:
        """The inputs by the model's names, in the dtypes of their datatypes; optional ones may be absent.

        Args:
            faults: those that were found before are raised as well.
            natives: makes native values of a tensor's elements; None where it notes a fault.

        Raises:
            InvalidInput: they do not fit; with up to five violations.
        """
        found: dict[str, Array] = {}
        count = len(rows) if self.face.rows else None
        for one in self.inputs:
            gathered = gather(one.binding, rows, self.at, faults)
            values = natives(one, gathered, faults) if gathered is not None else None
            if gathered is None or values is None:
                continue
            array = array_of(one, values, gathered.shape, count, self.at, faults)
            if array is not None:
                found[one.name] = array
        if faults:
            raise faults.error()
        return found

    def rows(
        self, outputs: Mapping[str, Array], written: Callable[[Element, Array], list[Any]]
    ) -> list[dict[str, Any]]:
        """The rows of an answer.

        Args:
            written: makes the values of fields of a tensor's elements: Element.json or Element.back.

        Raises:
            ReplicaError: an output is missing or of another shape than the model told (INTERNAL).
        """
        count = check_outputs(self.face, self.outputs, outputs)
        columns: dict[str, list[Any]] = {}
        for one in self.outputs:
            array = outputs[one.name]
            shape = array.shape[1:] if self.face.rows else array.shape
            try:
                flat = written(one.element, array.reshape(-1))
            except ValueError as error:
                raise unreadable(self.face, one, error) from None
            _spread(one, flat, shape, count, columns)
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def check_rows(face: Face, count: int, faults: Faults) -> None:
    """Note too few or too many rows."""
    if not count:
        faults.add(ROWS, "takes at least one")
    elif face.most_rows and count > face.most_rows:
        faults.add(ROWS, f"takes up to {face.most_rows}, got {count}")


def check_outputs(face: Face, outputs: tuple[Bound, ...], arrays: Mapping[str, Array]) -> int:
    """The number of rows of an answer (1 where the face has none).

    Raises:
        ReplicaError: an output is missing, or not of the shape that the model told.
    """
    counts = set()
    for one in outputs:
        array = arrays.get(one.name)
        if array is None:
            raise ReplicaError(StatusCode.INTERNAL, f"the answer of {face.name} lacks the output '{one.name}'")
        shape = array.shape[1:] if face.rows else array.shape
        wanted = one.binding.shape
        if not _fits(shape, wanted) or (face.rows and not array.ndim):
            told = f"'{one.name}' of {face.name} came with the shape {list(array.shape)}; its metadata says"
            raise ReplicaError(StatusCode.INTERNAL, f"{told} {list(one.binding.tensor.shape)}")
        counts.add(array.shape[0] if face.rows else 1)
    if len(counts) > 1:
        raise ReplicaError(StatusCode.INTERNAL, f"the outputs of {face.name} differ in their number of rows")
    return counts.pop() if counts else (0 if face.rows else 1)


def unreadable(face: Face, one: Bound, error: ValueError) -> ReplicaError:
    cure = "`type: bytes` in its hints makes base64 of them"
    return ReplicaError(StatusCode.INTERNAL, f"output '{one.name}' of {face.name} {error}: {cure}")


def _fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(shape) == len(wanted) and all(w in (-1, s) for w, s in zip(wanted, shape, strict=True))


def _spread(one: Bound, flat: list[Any], shape: tuple[int, ...], count: int, columns: dict[str, list[Any]]) -> None:
    """Add a tensor's fields: for each, its value in every row."""
    binding, name = one.binding, one.binding.fields[0]
    size = prod(shape)
    match binding.form:
        case Form.VALUE:
            columns[name] = flat
        case Form.COLUMNS:
            columns |= {field: flat[at::size] for at, field in enumerate(binding.fields)}
        case Form.NESTED:
            inner = [{"values": values} for values in _cut(flat, count * shape[0], shape[1])]
            columns[name] = _cut(inner, count, shape[0])
        case Form.TABLE:
            objects = [
                dict(zip(binding.columns, values, strict=True)) for values in _cut(flat, count * shape[0], shape[1])
            ]
            columns[name] = _cut(objects, count, shape[0])
        case Form.TENSOR:
            columns[name] = [{"shape": list(shape), "values": values} for values in _cut(flat, count, size)]
        case _:
            columns[name] = _cut(flat, count, size)


def _cut(flat: list[Any], count: int, size: int) -> list[Any]:
    """`count` lists of `size` each."""
    return [flat[at : at + size] for at in range(0, count * size, size)] if size else [[] for _ in range(count)]
