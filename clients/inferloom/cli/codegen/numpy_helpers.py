"""Messages from numpy arrays, and back. Needs numpy; the stubs beside it do not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Array", "Tensor", "arrays_of", "fill"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Tensor:
    """One tensor and the fields that hold it. `shape` is that of one row where there are rows."""

    name: str
    dtype: str  # of the array; "O" for text, bytes and labels
    shape: tuple[int, ...]
    form: str  # value, list, columns, nested, table, flat or tensor
    fields: tuple[str, ...]
    columns: tuple[str, ...] = ()
    numbers: Mapping[str, int] | None = None  # of an enum: number by label


def fill(request: Any, tensors: tuple[Tensor, ...], arrays: Mapping[str, Any], *, rows: bool) -> None:
    """Write arrays into a request, each under its first field's or the tensor's name.

    Args:
        rows: the first dimension is the batch.

    Raises:
        ValueError: shapes or numbers of rows that do not fit.
    """
    given = [(tensor, _shaped(arrays[tensor.name], tensor, rows)) for tensor in tensors if tensor.name in arrays]
    if not rows:
        for tensor, array in given:
            _write(request, tensor, array)
        return
    counts = {len(array) for _, array in given}
    if len(counts) != 1:
        raise ValueError(f"all inputs need the same number of rows, got {sorted(counts)}")
    for number in range(counts.pop()):
        row = request.rows.add()
        for tensor, array in given:
            _write(row, tensor, array[number])


def arrays_of(response: Any, tensors: tuple[Tensor, ...], *, rows: bool) -> list[Array]:
    """The arrays of a response, in the order of `tensors`; rows of unlike sizes raise ValueError."""
    if not rows:
        return [_read(response, tensor) for tensor in tensors]
    found = []
    for tensor in tensors:
        each = [_read(row, tensor) for row in response.rows]
        found.append(np.stack(each) if each else np.empty((0, *(max(size, 0) for size in tensor.shape)), tensor.dtype))
    return found


def _shaped(value: npt.ArrayLike, tensor: Tensor, rows: bool) -> Array:
    array = np.asarray(value, dtype=tensor.dtype)
    wanted = (*([-1] if rows else []), *tensor.shape)
    if len(wanted) == array.ndim + 1 and tensor.form == "value":
        array = array.reshape([*array.shape, 1])  # one value of shape [1], given as a plain number
    fits = array.ndim == len(wanted) and all(want in (-1, size) for want, size in zip(wanted, array.shape, strict=True))
    if not fits:
        raise ValueError(f"{tensor.name}: shape {list(array.shape)} does not fit {list(wanted)}")
    return array


def _write(message: Any, tensor: Tensor, array: Array) -> None:
    field = tensor.fields[0]
    values = _numbers(tensor, np.asarray(array, dtype=tensor.dtype))
    if tensor.form == "value":
        setattr(message, field, values.reshape(-1).tolist()[0])
    elif tensor.form == "columns":
        for name, value in zip(tensor.columns, values.tolist(), strict=True):
            setattr(message, name, value)
    elif tensor.form == "nested":
        for row in values.tolist():
            getattr(message, field).add().values.extend(row)
    elif tensor.form == "table":
        for row in values.tolist():
            getattr(message, field).add(**dict(zip(tensor.columns, row, strict=True)))
    elif tensor.form == "tensor":
        getattr(message, field).shape.extend(values.shape)
        getattr(message, field).values.extend(values.reshape(-1).tolist())
    else:
        getattr(message, field).extend(values.reshape(-1).tolist())


def _read(message: Any, tensor: Tensor) -> Array:
    found = getattr(message, tensor.fields[0])
    shape = tensor.shape
    if tensor.form == "value":
        values = [found]
    elif tensor.form == "columns":
        values = [getattr(message, name) for name in tensor.columns]
    elif tensor.form == "nested":
        values = [value for row in found for value in row.values]
        shape = (len(found), len(found[0].values) if found else max(shape[1], 0))
    elif tensor.form == "table":
        values = [getattr(row, name) for row in found for name in tensor.columns]
        shape = (len(found), len(tensor.columns))
    elif tensor.form == "tensor":
        values, shape = list(found.values), tuple(found.shape)
    else:
        values = list(found)
        shape = (len(values),) if tensor.form == "list" else shape
    return np.array(_labels(tensor, values), dtype=tensor.dtype).reshape(shape)


def _numbers(tensor: Tensor, array: Array) -> Array:
    """Labels of an enum as its numbers; text as str, bytes as they are."""
    if tensor.numbers is None:
        return array
    known = tensor.numbers
    return np.array([known[str(label)] for label in array.reshape(-1)], dtype=np.int64).reshape(array.shape)


def _labels(tensor: Tensor, values: list[Any]) -> list[Any]:
    if tensor.numbers is None:
        return values
    names = {number: label for label, number in tensor.numbers.items()}
    return [names.get(value, "") for value in values]
