"""From a request's JSON to flat lists of elements, one for each tensor; what is wrong is noted with its path.

Work is done per row, and only where a form has lists or objects within a row, per one of these: a list of a million
numbers is passed on whole.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import chain
from math import prod
from typing import Any, NamedTuple

from inferloom.mesh.errors import InvalidInput, Violation
from inferloom.services.proto.face import Form, TensorBinding
from inferloom.services.typed.faults import meant, shown, told
from inferloom.services.typed.model_elements import short

__all__ = ["Faults", "Gathered", "gather", "strangers"]

ENOUGH = 100  # faults after which nobody looks for more
Place = Callable[[int], str]  # number of a row -> what is before its fields: "rows[3]."
_ABSENT: Any = object()


class Faults:
    """What is wrong with a request."""

    def __init__(self) -> None:
        self._found: list[Violation] = []

    def __len__(self) -> int:
        return len(self._found)

    @property
    def enough(self) -> bool:
        return len(self._found) >= ENOUGH

    def add(self, path: str, what: str) -> None:
        self._found.append(Violation(path, what))

    def error(self) -> InvalidInput:
        """All of them; the first five in words."""
        return told(self._found)


class Gathered(NamedTuple):
    """One tensor's elements, row-major."""

    values: list[Any]
    shape: tuple[int, ...]  # of one row

    def path(self, binding: TensorBinding, at: Place, index: int) -> str:
        """Where the element with this index is in the request."""
        return element_path(binding, self.shape, at, index)


def element_path(binding: TensorBinding, shape: tuple[int, ...], at: Place, index: int) -> str:
    """ "rows[3].pixels[17]"."""
    row, within = divmod(index, max(prod(shape), 1))
    name = binding.fields[0]
    match binding.form:
        case Form.VALUE:
            return f"{at(row)}{name}"
        case Form.COLUMNS:
            return f"{at(row)}{binding.fields[within]}"
        case Form.NESTED:
            return f"{at(row)}{name}[{within // shape[1]}].values[{within % shape[1]}]"
        case Form.TABLE:
            return f"{at(row)}{name}[{within // shape[1]}].{binding.columns[within % shape[1]]}"
        case Form.TENSOR:
            return f"{at(row)}{name}.values[{within}]"
        case _:
            return f"{at(row)}{name}[{within}]"


def strangers(value: dict[str, Any], known: Collection[str], at: str, faults: Faults) -> None:
    """Note the fields that nobody knows."""
    for name in value:
        if name not in known:
            takes = f"{at.rstrip('.')} takes" if at else "it takes"
            hint = meant(name, known) or f"; {takes} {', '.join(known)}"
            faults.add(f"{at}{shown(name)}", f"is not known{hint}")


def gather(binding: TensorBinding, rows: Sequence[dict[str, Any]], at: Place, faults: Faults) -> Gathered | None:
    """The elements of a tensor in all rows; None where no row has it, or where something is wrong, which is noted."""
    before = len(faults)
    columns = [_column(name, rows, binding, at, faults) for name in binding.fields]
    if len(faults) > before or any(column is None for column in columns):
        if len(faults) == before and any(column is not None for column in columns):
            _incomplete(binding, columns, at, faults)
        return None
    values = columns[0] or []
    match binding.form:
        case Form.VALUE:
            found: Gathered | None = Gathered(values, binding.shape)
        case Form.COLUMNS:
            rowwise = zip(*[column or [] for column in columns], strict=True)
            found = Gathered(list(chain.from_iterable(rowwise)), (len(columns),))
        case Form.NESTED:
            found = _nested(binding, values, at, faults)
        case Form.TABLE:
            found = _table(binding, values, at, faults)
        case Form.TENSOR:
            found = _tensor(binding, values, at, faults)
        case _:
            found = _listed(binding, values, at, faults)
    return found if len(faults) == before else None


def _column(
    name: str, rows: Sequence[dict[str, Any]], binding: TensorBinding, at: Place, faults: Faults
) -> list[Any] | None:
    """One field of every row; None where no row has it. A list without elements is none, as in the proto."""
    try:
        values = [row[name] for row in rows]
    except KeyError:
        values = [row.get(name, _ABSENT) for row in rows]
    listed = binding.form not in (Form.VALUE, Form.COLUMNS)
    optional = binding.tensor.optional
    absent = [index for index, value in enumerate(values) if _missing(value, listed, optional)]
    if not absent:
        return values
    if optional and len(absent) == len(values):
        return None
    for index in absent[:ENOUGH]:
        what = "is missing: rows before or after it have it" if optional else "is missing"
        faults.add(f"{at(index)}{name}", what)
    return None


def _missing(value: Any, listed: bool, optional: bool) -> bool:
    return value is _ABSENT or (listed and value == []) or (optional and value is None)


def _incomplete(binding: TensorBinding, columns: Sequence[Any], at: Place, faults: Faults) -> None:
    """Of an optional tensor with columns some are there and others are not."""
    for name, column in zip(binding.fields, columns, strict=True):
        if column is None:
            faults.add(f"{at(0)}{name}", "is missing: other columns of its tensor are there")


def _listed(binding: TensorBinding, values: list[Any], at: Place, faults: Faults) -> Gathered | None:
    size = prod(binding.shape) if -1 not in binding.shape else -1
    name = binding.fields[0]
    sizes = _sizes(values, size, lambda row: f"{at(row)}{name}", faults)
    if sizes is None:
        return None
    shape = binding.shape if size >= 0 else (sizes,)
    return Gathered(_flat(values), shape)


def _sizes(values: list[Any], size: int, path: Place, faults: Faults) -> int | None:
    """The one length of these lists."""
    if set(map(type, values)) <= {list}:
        lengths = set(map(len, values))
        if len(lengths) == 1 and (size < 0 or lengths == {size}):
            return lengths.pop()
    wanted = size
    for index, value in enumerate(values):
        if not isinstance(value, list):
            many = f"a list of {size}" if size >= 0 else "a list"
            faults.add(path(index), f"takes {many}, got {short(value)}")
        elif wanted >= 0 and len(value) != wanted:
            like = "" if size >= 0 else " like the one before it"
            faults.add(path(index), f"takes {wanted} elements{like}, got {len(value)}")
        else:
            wanted = len(value)
        if faults.enough:
            break
    return None


def _flat(lists: list[Any]) -> list[Any]:
    return lists[0] if len(lists) == 1 else list(chain.from_iterable(lists))


def _objects(values: list[Any], keys: tuple[str, ...], optional: Collection[str], path: Place, faults: Faults) -> bool:
    """Whether each of them is an object with exactly these fields."""
    before = len(faults)
    wanted = set(keys)
    for index, value in enumerate(values):
        if type(value) is dict and value.keys() == wanted:
            continue
        if not isinstance(value, dict):
            faults.add(path(index), f"takes an object with {', '.join(keys)}, got {short(value)}")
        else:
            strangers(value, keys, f"{path(index)}.", faults)
            for key in keys:
                if key not in value and key not in optional:
                    faults.add(f"{path(index)}.{key}", "is missing")
        if faults.enough:
            break
    return len(faults) == before


def _inner(binding: TensorBinding, values: list[Any], at: Place, faults: Faults) -> tuple[list[Any], int, Place] | None:
    """The objects in the list of every row, one after the other, how many in each, and where each one is."""
    name = binding.fields[0]
    count = _sizes(values, binding.shape[0], lambda row: f"{at(row)}{name}", faults)
    if count is None:
        return None
    return _flat(values), count, lambda index: f"{at(index // count)}{name}[{index % count}]"


def _nested(binding: TensorBinding, values: list[Any], at: Place, faults: Faults) -> Gathered | None:
    inner = _inner(binding, values, at, faults)
    if inner is None or not _objects(inner[0], ("values",), (), inner[2], faults):
        return None
    lists = [each["values"] for each in inner[0]]
    size = _sizes(lists, binding.shape[1], lambda index: f"{inner[2](index)}.values", faults)
    return None if size is None else Gathered(_flat(lists), (inner[1], size))


def _table(binding: TensorBinding, values: list[Any], at: Place, faults: Faults) -> Gathered | None:
    inner = _inner(binding, values, at, faults)
    if inner is None or not _objects(inner[0], binding.columns, (), inner[2], faults):
        return None
    flat = [each[name] for each in inner[0] for name in binding.columns]
    return Gathered(flat, (inner[1], len(binding.columns)))


def _tensor(binding: TensorBinding, values: list[Any], at: Place, faults: Faults) -> Gathered | None:
    name = binding.fields[0]
    if not _objects(values, ("shape", "values"), (), lambda row: f"{at(row)}{name}", faults):
        return None
    first: Any = None
    for row, value in enumerate(values):
        place, sizes = f"{at(row)}{name}", value["shape"]
        problem = misshapen(binding, sizes, value["values"], first)
        if problem:
            faults.add(f"{place}.{problem[0]}", problem[1])
            return None
        first = sizes if first is None else first
    return Gathered(_flat([value["values"] for value in values]), tuple(map(int, first)))


def misshapen(binding: TensorBinding, sizes: Any, values: Any, first: Any) -> tuple[str, str] | None:
    """What is wrong with a tensor that tells its own shape: the field, and why. None where nothing is.

    Args:
        first: the shape of the first row's; None for the first row itself.
    """
    takes = f"[{','.join(map(str, binding.shape))}]"
    if not isinstance(sizes, list) or not all(_whole(size) for size in sizes):
        return "shape", f"takes a list of sizes {takes}, got {short(sizes)}"
    plain = [int(size) for size in sizes]
    fits = len(plain) == len(binding.shape) and all(w in (-1, s) for w, s in zip(binding.shape, plain, strict=True))
    if not fits or min(plain) < 0:
        return "shape", f"takes {takes}, got {plain}"
    if first is not None and plain != [int(size) for size in first]:
        return "shape", f"takes {list(map(int, first))} like the row before it, got {plain}"
    if not isinstance(values, list):
        return "values", f"takes a list, got {short(values)}"
    if len(values) != prod(plain):
        return "values", f"takes {prod(plain)} elements for the shape {plain}, got {len(values)}"
    return None


def _whole(value: Any) -> bool:
    return type(value) is int or (isinstance(value, str) and value.isdecimal() and len(value) < 19)
