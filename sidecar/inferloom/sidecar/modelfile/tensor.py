"""Name, type and shape of a model's input or output, and the way people write them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from inferloom.mesh.errors import InvalidInput

__all__ = ["DATATYPES", "TensorType"]

DATATYPES = (
    "BOOL",
    *(f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)),
    *("FP16", "BF16", "FP32", "FP64", "BYTES"),
)

_TYPE = re.compile(r"([A-Z0-9]+)\s*\[([-\d,\s]*)\]")


@dataclass(frozen=True, slots=True)
class TensorType:
    """A tensor as the Open Inference Protocol describes it.

    `shape` has every dimension, the batch first where the model has one; -1 is any size.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.datatype}[{','.join(map(str, self.shape))}]"

    @property
    def batched(self) -> bool:
        return self.shape[:1] == (-1,)

    @staticmethod
    def parse(text: str) -> TensorType:
        """The tensor of "NAME:TYPE[SHAPE]", for example "x:FP32[-1,4]". Raises InvalidInput."""
        name, colon, kind = text.rpartition(":")
        if not (name and colon):
            raise InvalidInput(f"{text!r} is no tensor: write it as NAME:TYPE[SHAPE], for example x:FP32[-1,4]")
        return TensorType.of(name.strip(), kind)

    @staticmethod
    def of(name: str, kind: str) -> TensorType:
        """The tensor `name` of a type such as "FP32[-1,4]". Raises InvalidInput."""
        match = _TYPE.fullmatch(kind.strip())
        if match is None:
            raise InvalidInput(f"'{name}': {kind!r} is no type with a shape: write it as FP32[-1,4]")
        if match[1] not in DATATYPES:
            raise InvalidInput(f"'{name}': {match[1]} is no datatype; there are {', '.join(DATATYPES)}")
        sizes = [part.strip() for part in match[2].split(",")] if match[2].strip() else []
        if not all(re.fullmatch(r"-1|[1-9]\d*", size) for size in sizes) or not sizes:
            raise InvalidInput(f"'{name}': [{match[2]}] is no shape: sizes from 1 up, or -1 for any, as in [-1,4]")
        return TensorType(name, match[1], tuple(map(int, sizes)))


def listed(tensors: Iterable[TensorType]) -> str:
    """The tensors in one line, for messages."""
    return ", ".join(map(str, tensors))
