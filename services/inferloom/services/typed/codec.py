"""How values of one type become a tensor and come back."""

from __future__ import annotations

from typing import Any, Protocol

from inferloom.mesh.errors import InvalidInput
from inferloom.services.tensor import Tensor

__all__ = ["ONE", "Codec", "sizes", "wrong"]

ONE = frozenset({(), (1,), (1, 1)})  # shapes that a single value may come in


class Codec(Protocol):
    """Made once for each argument and each output. `label` says in messages which one it is.

    Attributes:
        datatype, shape: of the tensor; an empty shape: any.
        annotation: the type as pydantic shall read and write it.
    """

    @property
    def datatype(self) -> str: ...

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def annotation(self) -> Any: ...

    def decode(self, tensor: Tensor, label: str) -> Any:
        """The value. InvalidInput where the tensor is another datatype or shape, or its contents are no such value."""

    def encode(self, value: Any, label: str) -> Tensor:
        """The tensor. InvalidInput where the value is none of this type."""

    def plain(self, value: Any, label: str) -> Any:
        """The value as pydantic writes it (numpy's scalars made Python's). InvalidInput as `encode`."""


def sizes(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]"


def wrong(codec: Codec, tensor: Tensor, label: str) -> InvalidInput:
    """The tensor has another datatype or shape than the codec takes."""
    takes = f"{codec.datatype} {sizes(codec.shape)}" if codec.shape else f"{codec.datatype} of any shape"
    return InvalidInput(f"{label} takes {takes}, got {tensor.datatype} {sizes(tensor.shape)}")
