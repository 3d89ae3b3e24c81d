"""The shape of an array, written beside its type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from inferloom.mesh.errors import ConfigError

__all__ = ["Shape", "shape"]


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of an array's dimensions; -1: any. Understood by pydantic, within dataclasses and models too."""

    sizes: tuple[int, ...]

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from inferloom.services.typed.arrays import ArrayCodec, array_datatype

        return ArrayCodec(array_datatype(source), self.sizes).__get_pydantic_core_schema__(source, handler)


def shape(*sizes: int) -> Shape:
    """`Annotated[npt.NDArray[np.float32], shape(-1, 64)]`: rows of 64 numbers.

    Args:
        sizes: of each dimension; -1 may be any size. Without one the array may have any shape.

    Raises:
        ConfigError: a size is neither -1 nor a whole number of 0 or more.
    """
    for size in sizes:
        if type(size) is not int or size < -1:
            raise ConfigError(f"shape{sizes!r}: {size!r} is no size; write a whole number, or -1 for any")
    return Shape(sizes)
