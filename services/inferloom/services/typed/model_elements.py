"""Single elements of tensors: what a field of the proto holds, and what numpy does.

Values are Python's own in between ("native"): bool, int, float, str, bytes, and of an enum its number. What a protobuf
message holds is native already; JSON is made so by `normal`.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import numpy as np

from inferloom.clients.datatypes import BYTES, NUMPY
from inferloom.services.proto.face import Enumeration, Limits, TensorBinding
from inferloom.services.typed.faults import meant
from inferloom.services.typed.nested import CONSTANTS, Misfit

__all__ = ["Array", "Element", "short"]

Array = np.ndarray[Any, Any]
DIGITS = range(6, 10)  # nine always tell a float32
LARGEST = float(np.finfo(np.float32).max)
WIDE = ("int64", "uint64")  # JSON may have them as text: JavaScript's numbers end at 2^53
_KINDS = {"bool": "bool", "float": "float", "double": "float", "string": "text", "bytes": "bytes"}
_PLAIN: dict[str, frozenset[type]] = {
    "bool": frozenset({bool}),
    "int": frozenset({int}),
    "float": frozenset({int, float}),
    "text": frozenset({str}),
    "bytes": frozenset({bytes}),
    "enum": frozenset({int}),
}
_WIDEST: dict[str, Any] = {"f": np.float64, "i": np.int64, "u": np.int64, "b": np.bool_, "<u8": np.uint64}
_TAKES = {"bool": "true or false", "int": "a whole number", "float": "a number", "text": "text", "bytes": "base64"}


def short(value: Any) -> str:
    """A JSON value as a message shows it."""
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = repr(value) if value is not None else "null"
    return text if len(text) <= 40 else text[:37] + "..."


class Element:
    """One element of a tensor.

    Args:
        binding: of the tensor.
        enum: the enum that its type names, if it does.
    """

    def __init__(self, binding: TensorBinding, enum: Enumeration | None = None) -> None:
        self.kind = "enum" if enum is not None else _KINDS.get(binding.type, "int")
        self.datatype = binding.tensor.datatype
        self.dtype = NUMPY[self.datatype]
        self._type = binding.type
        self._limits = binding.limits
        self._enum = enum
        self._plain = _PLAIN[self.kind]
        coded: dict[str, Any] = {
            label: label.encode() if self.datatype == BYTES else code for code, label in enumerate(binding.labels)
        }
        self._codes: dict[Any, Any] = dict(coded)  # native value -> the tensor's element; empty: they are the same
        if enum is not None:
            self._numbers = {name: number for name, number, _ in enum.values}
            self._named = {number: name for name, number, _ in enum.values}
            self._codes = {number: coded[label] for _, number, label in enum.values}
        self._back = {code: native for native, code in self._codes.items()}

    @property
    def coded(self) -> bool:
        """Whether what the field holds stands for another element: labels."""
        return bool(self._codes)

    @property
    def takes(self) -> str:
        if self._codes:
            return "one of " + ", ".join(map(str, (self._enum and self._numbers) or self._codes))[:200]
        return _TAKES[self.kind]

    def natives(self, values: list[Any]) -> list[Any] | None:
        """JSON values made native, all at once; None where one of them is not plain: `normal` finds it."""
        kinds = set(map(type, values))
        if self.kind in ("enum", "bytes"):
            try:
                return [self.normal(value) for value in values]
            except Misfit:
                return None
        if kinds <= self._plain:
            return values
        if (self.kind == "float" or self._type in WIDE) and kinds <= self._plain | {str}:
            try:
                return [self.normal(value) for value in values]
            except Misfit:
                return None
        return None

    def normal(self, value: Any) -> Any:
        """A JSON value made native. Misfit where it is of another type."""
        if self.kind == "enum":
            if isinstance(value, str) and value in self._numbers:
                return self._numbers[value]
            if type(value) is int and value in self._named:
                return value
            hint = meant(value, self._numbers) if isinstance(value, str) else ""
            raise Misfit("", f"takes {self.takes}, got {short(value)}{hint}")
        if self.kind == "bytes" and isinstance(value, str):
            try:
                return base64.b64decode(value, validate=True)
            except (binascii.Error, ValueError):
                raise Misfit("", "is no base64") from None
        if self.kind == "float" and isinstance(value, str) and value in CONSTANTS:
            return CONSTANTS[value]
        if self._type in WIDE and isinstance(value, str) and value.removeprefix("-").isdecimal() and len(value) < 24:
            return int(value)
        if type(value) not in self._plain:
            raise Misfit("", f"takes {self.takes}, got {short(value)}")
        return value

    def array(self, values: list[Any], columns: int = 1) -> Array | None:
        """Native values as a flat array; None where one of them is out of bounds: `check` finds it.

        Args:
            columns: the size of the last dimension, where limits go by column.
        """
        if self._codes:
            try:
                values = [self._codes[value] for value in values]
            except (KeyError, TypeError):
                return None
        if self.datatype == BYTES:
            return self._objects(values)
        try:
            wide: Array = np.array(values, _WIDEST.get(self.dtype.str, _WIDEST[self.dtype.kind]))
        except (OverflowError, ValueError):
            return None
        return self.bounded(wide if len(values) else np.empty(0, self.dtype), columns)

    def bounded(self, array: Array, columns: int = 1) -> Array | None:
        """Numbers, as they came over the wire, in the tensor's dtype; None where one is out of bounds."""
        if self.dtype.kind in "iu" and not self._whole(array):
            return None
        if self.dtype.kind == "f":
            with np.errstate(over="ignore", invalid="ignore"):
                made = array.astype(self.dtype, copy=False)
            if made.dtype != array.dtype and bool((np.isinf(made) & np.isfinite(array)).any()):
                return None
        else:
            made = array.astype(self.dtype, copy=False)
        if not self._limits:
            return made
        table = made.reshape(-1, columns)
        within = all(
            self._within(table[:, at], self._limit(at)) for at in range(columns if len(self._limits) > 1 else 0)
        )
        return made if within and (len(self._limits) > 1 or self._within(made, self._limits[0])) else None

    def check(self, value: Any, column: int = 0) -> None:
        """A native value. Misfit where it is out of bounds."""
        if self._codes:
            if value not in self._codes:
                raise Misfit("", f"takes {self.takes}, got {short(value)}{meant(str(value), map(str, self._codes))}")
            return
        if self.kind == "text":
            try:
                value.encode()
            except UnicodeEncodeError:
                raise Misfit("", "is no Unicode text") from None
        if self.dtype.kind in "iu":
            limits = np.iinfo(self.dtype)
            if not int(limits.min) <= value <= int(limits.max):
                raise Misfit("", f"takes a whole number from {limits.min} to {limits.max}, got {short(value)}")
        if self.dtype.kind == "f":
            with np.errstate(over="ignore"):
                if value == value and abs(value) != float("inf") and np.isinf(_float(value, self.dtype)):
                    raise Misfit("", f"takes a number within {self.datatype}, got {short(value)}")
        if self._limits and not bool(self._within(np.array([value], self.dtype), self._limit(column))):
            raise Misfit("", f"takes {_bounds(self._limit(column))}, got {short(value)}")

    def back(self, flat: Array) -> list[Any]:
        """An answer's elements as native values.

        Raises:
            ValueError: a BYTES element is no UTF-8 where the field is text; says so.
        """
        values: list[Any] = flat.tolist()
        if self._codes:
            if self._enum is not None:
                return [self._back.get(value, 0) for value in values]
            if self.datatype != BYTES:
                return [self._back.get(value, str(value)) for value in values]
        if self.kind == "text":
            try:
                return [value.decode() for value in values]
            except UnicodeDecodeError:
                raise ValueError("holds bytes that are no UTF-8") from None
        return values

    def json(self, flat: Array) -> list[Any]:
        """An answer's elements as JSON values. ValueError as `back`."""
        if self.kind == "float":
            wide = shortest(flat) if flat.dtype.itemsize == 4 else flat.astype(np.float64)
            return list(wide.tolist())
        values = self.back(flat)
        if self.kind == "enum" and self._enum is not None:
            return [self._named.get(number, self._enum.zero) for number in values]
        if self.kind == "bytes":
            return [base64.b64encode(value).decode() for value in values]
        if self._type in WIDE and flat.size and (int(flat.max()) > 1 << 53 or int(flat.min()) < -(1 << 53)):
            return [value if abs(value) <= 1 << 53 else str(value) for value in values]
        return values

    def _objects(self, values: list[Any]) -> Array | None:
        try:
            made = [value.encode() if type(value) is str else value for value in values]
        except UnicodeEncodeError:
            return None
        array = np.empty(len(made), dtype=object)
        array[:] = made
        return array

    def _whole(self, array: Array) -> bool:
        if array.dtype.kind not in "iu" or not array.size:
            return not array.size
        limits = np.iinfo(self.dtype)
        return int(array.min()) >= int(limits.min) and int(array.max()) <= int(limits.max)

    def _limit(self, column: int) -> Limits:
        return self._limits[column % len(self._limits)]

    def _within(self, array: Array, limits: Limits) -> bool:
        if limits.finite and self.dtype.kind == "f" and not bool(np.isfinite(array).all()):
            return False
        # not a number compares as False, and so is refused by either bound
        low = limits.least is None or bool((array >= limits.least).all())
        return low and (limits.most is None or bool((array <= limits.most).all()))


def shortest(array: Array) -> Array:
    """float32 as the float64 with the fewest digits that is the same float32: 0.1, not 0.10000000149011612.

    A whole number below 2^53 divided by a power of ten up to 10^22 is rounded correctly, so that its digits are those that
    were asked for. What is too large or too small for that is written and read, one by one.
    """
    wide = array.astype(np.float64)
    size = np.abs(wide)
    odd = np.isfinite(wide) & (wide != 0)
    middle = (size >= 1e-12) & (size < 1e9)
    todo = np.flatnonzero(odd & middle & (wide != np.rint(wide)))
    exponents = np.floor(np.log10(size[todo])).astype(np.int64)
    for digits in DIGITS:
        scale = 10.0 ** (digits - 1 - exponents)
        near = np.rint(wide[todo] * scale) / scale
        same = near.astype(np.float32) == array[todo]
        wide[todo[same]] = near[same]
        todo, exponents = todo[~same], exponents[~same]
        if not todo.size:
            break
    for index in np.flatnonzero(odd & ~middle):
        wide[index] = _written(array[index])
    return wide


def _written(value: Any) -> float:
    exact = float(value)
    tries = (float(f"{exact:.{digits}g}") for digits in DIGITS)
    # Readers of protobuf's JSON refuse what is above the largest float32 by a hair.
    return next((near for near in tries if np.float32(near) == value and abs(near) <= LARGEST), exact)


def _float(value: Any, dtype: Any) -> Any:
    try:
        return np.float64(value).astype(dtype)
    except OverflowError:
        return np.float64("inf")


def _bounds(limits: Limits) -> str:
    """ "a number from 0 to 10"."""
    if limits.least is not None and limits.most is not None:
        return f"a number from {limits.least:g} to {limits.most:g}"
    if limits.least is not None:
        return f"a number of at least {limits.least:g}"
    if limits.most is not None:
        return f"a number of at most {limits.most:g}"
    return "a finite number"
