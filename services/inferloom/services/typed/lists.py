"""Lists of single values: tensors of one dimension."""

from __future__ import annotations

from typing import Any

import numpy as np

from inferloom.clients import strings
from inferloom.clients.datatypes import BYTES, NUMPY
from inferloom.mesh.errors import InvalidInput
from inferloom.services.tensor import Tensor
from inferloom.services.typed.codec import wrong
from inferloom.services.typed.scalars import NumberCodec, TextCodec, read_text

__all__ = ["ListCodec"]


class ListCodec:
    """list[int], list[float], list[bool], list[str], list[bytes]."""

    shape = (-1,)

    def __init__(self, each: NumberCodec | TextCodec) -> None:
        self._each = each
        self.datatype = each.datatype
        self.annotation = list[each.annotation]  # type: ignore[name-defined]  # a type made at run time

    def decode(self, tensor: Tensor, label: str) -> list[Any]:
        if tensor.datatype != self.datatype or len(tensor.shape) != 1:
            raise wrong(self, tensor, label)
        try:
            found: list[Any] = tensor.array.tolist()
        except InvalidInput:
            count, size = tensor.shape[0], len(tensor.raw)
            raise InvalidInput(f"{label}: its {size} bytes are not {count} elements of {self.datatype}") from None
        if self._each.annotation is str:
            return [read_text(data, f"{label}: [{index}]") for index, data in enumerate(found)]
        return found

    def encode(self, value: Any, label: str) -> Tensor:
        plain = self.plain(value, label)
        shape = (len(plain),)
        if self.datatype == BYTES:
            array = np.empty(len(plain), dtype=object)
            array[:] = plain
            return Tensor(BYTES, shape, strings.join(array, label))
        try:
            return Tensor(self.datatype, shape, np.array(plain, NUMPY[self.datatype]).tobytes())
        except OverflowError:
            raise InvalidInput(f"{label} takes whole numbers of 64 bits, got larger ones") from None

    def plain(self, value: Any, label: str) -> list[Any]:
        if isinstance(value, np.ndarray) and value.ndim == 1:
            value = value.tolist()
        if not isinstance(value, (list, tuple)):
            raise InvalidInput(f"{label} takes a list, got {type(value).__name__}")
        each = self._each.plain
        exact = self._each.annotation
        return [v if type(v) is exact else each(v, f"{label}: [{index}]") for index, v in enumerate(value)]
