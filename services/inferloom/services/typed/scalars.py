"""Single values: int, float, bool, str, bytes."""

from __future__ import annotations

import operator
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from inferloom.clients.datatypes import BYTES
from inferloom.mesh.errors import InvalidInput
from inferloom.services.tensor import Tensor
from inferloom.services.typed.codec import ONE, wrong

__all__ = ["SCALARS", "NumberCodec", "TextCodec", "element", "framed", "read_text"]

SHAPE = (1,)
_LENGTH = struct.Struct("<I")


def element(raw: bytes | memoryview, label: str) -> bytes:
    """The one element of a BYTES tensor. InvalidInput where the contents are not one element."""
    if len(raw) < _LENGTH.size or _LENGTH.unpack_from(raw)[0] != len(raw) - _LENGTH.size:
        raise InvalidInput(f"{label}: its {len(raw)} bytes are not one element of BYTES behind its length")
    return bytes(raw[_LENGTH.size :])


def framed(data: bytes) -> Tensor:
    """A BYTES tensor of one element."""
    return Tensor(BYTES, SHAPE, _LENGTH.pack(len(data)) + data)


class NumberCodec:
    """int, float or bool."""

    shape = SHAPE

    def __init__(self, annotation: type, datatype: str, code: str, make: Callable[[Any], Any]) -> None:
        self.annotation = annotation
        self.datatype = datatype
        self._struct = struct.Struct(code)
        self._make = make

    def decode(self, tensor: Tensor, label: str) -> Any:
        if tensor.datatype != self.datatype or tensor.shape not in ONE:
            raise wrong(self, tensor, label)
        if len(tensor.raw) != self._struct.size:
            raise InvalidInput(f"{label} came with {len(tensor.raw)} bytes; {self.datatype} has {self._struct.size}")
        return self._struct.unpack(tensor.raw)[0]

    def encode(self, value: Any, label: str) -> Tensor:
        try:
            return Tensor(self.datatype, SHAPE, self._struct.pack(self.plain(value, label)))
        except struct.error:
            raise InvalidInput(f"{label} takes a whole number of 64 bits, got {value}") from None

    def plain(self, value: Any, label: str) -> Any:
        if type(value) is self.annotation:
            return value
        try:
            return self._make(value)
        except TypeError:
            raise InvalidInput(f"{label} takes {self.annotation.__name__}, got {type(value).__name__}") from None


class TextCodec:
    """str or bytes."""

    datatype = BYTES
    shape = SHAPE

    def __init__(self, annotation: type) -> None:
        self.annotation = annotation

    def decode(self, tensor: Tensor, label: str) -> Any:
        if tensor.datatype != BYTES or tensor.shape not in ONE:
            raise wrong(self, tensor, label)
        data = element(tensor.raw, label)
        return data if self.annotation is bytes else read_text(data, label)

    def encode(self, value: Any, label: str) -> Tensor:
        plain = self.plain(value, label)
        return framed(plain if self.annotation is bytes else _utf8(plain, label))

    def plain(self, value: Any, label: str) -> Any:
        if isinstance(value, self.annotation):
            return value
        if self.annotation is bytes and isinstance(value, (bytearray, memoryview)):
            return bytes(value)
        raise InvalidInput(f"{label} takes {self.annotation.__name__}, got {type(value).__name__}")


def read_text(data: bytes, label: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise InvalidInput(f"{label} takes text, got bytes that are no UTF-8") from None


def _utf8(text: str, label: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(f"{label} holds text that is no Unicode: {error.reason}") from None


def _number(value: Any) -> float:
    if isinstance(value, (int, float, np.floating, np.integer)):
        return float(value)
    raise TypeError


def _truth(value: Any) -> bool:
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    raise TypeError


SCALARS: dict[Any, NumberCodec | TextCodec] = {
    int: NumberCodec(int, "INT64", "<q", operator.index),
    float: NumberCodec(float, "FP64", "<d", _number),
    bool: NumberCodec(bool, "BOOL", "?", _truth),
    str: TextCodec(str),
    bytes: TextCodec(bytes),
}
