"""numpy arrays with an annotated dtype, and a shape where `shape()` tells one."""

from __future__ import annotations

import math
from typing import Annotated, Any, get_args, get_origin

import numpy as np
from pydantic_core import PydanticCustomError, core_schema

from inferloom.clients.casts import cast
from inferloom.clients.datatypes import NUMPY, datatype_of
from inferloom.clients.fit import to_array
from inferloom.mesh.errors import ConfigError, InvalidInput
from inferloom.services.tensor import Tensor
from inferloom.services.typed.codec import sizes, wrong
from inferloom.services.typed.hints import spelled
from inferloom.services.typed.nested import Misfit, fits, from_lists, lists_schema, to_lists

__all__ = ["ArrayCodec", "array_datatype"]

MISFIT = "inferloom_array"  # pydantic's type of error for them; its context has the place within the array
CURE = "write npt.NDArray[np.float32], or Annotated[npt.NDArray[np.float32], shape(-1, 64)]"


def array_datatype(annotation: Any) -> str:
    """The datatype of `npt.NDArray[np.float32]`.

    Raises:
        ConfigError: no dtype is told, or one that the protocol does not have.
    """
    arguments = get_args(annotation)
    if get_origin(annotation) is not np.ndarray or len(arguments) != 2 or not get_args(arguments[1]):
        raise ConfigError(f"an array without a dtype: {CURE}")
    scalar = get_args(arguments[1])[0]
    if not isinstance(scalar, type) or not issubclass(scalar, np.generic):
        raise ConfigError(f"an array of {spelled(scalar)} has no one dtype: {CURE}")
    try:
        return datatype_of(np.empty(0, np.dtype(scalar)), "array")
    except (InvalidInput, TypeError):
        raise ConfigError(f"an array of {scalar.__name__}; there are {', '.join(sorted(NUMPY))}: {CURE}") from None


class ArrayCodec:
    """An array. Decoded ones are read-only views on the bytes received; BYTES are objects (`bytes`)."""

    def __init__(self, datatype: str, shape: tuple[int, ...]) -> None:
        self.datatype = datatype
        self.shape = shape

    @property
    def annotation(self) -> Any:
        return Annotated[Any, self]

    def decode(self, tensor: Tensor, label: str) -> Any:
        if tensor.datatype != self.datatype or not fits(tensor.shape, self.shape):
            raise wrong(self, tensor, label)
        try:
            return tensor.array
        except InvalidInput:
            count, size = math.prod(tensor.shape), len(tensor.raw)
            raise InvalidInput(f"{label}: its {size} bytes are not {count} elements of {self.datatype}") from None

    def encode(self, value: Any, label: str) -> Tensor:
        return Tensor.of(self.plain(value, label), self.datatype, label)

    def plain(self, value: Any, label: str) -> Any:
        try:
            array, _ = cast(to_array(value, self.datatype), self.datatype, given=False)
        except InvalidInput as error:
            raise InvalidInput(f"{label} takes an array of {self.datatype}, {error}") from None
        if not fits(array.shape, self.shape):
            got = f"an array of shape {sizes(array.shape)}"
            raise InvalidInput(f"{label} takes {self.datatype} {sizes(self.shape)}, got {got}")
        return array

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        return core_schema.no_info_plain_validator_function(
            self._read,
            serialization=core_schema.plain_serializer_function_ser_schema(self._write),
            metadata={"pydantic_js_functions": [self._schema]},
        )

    def _read(self, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            try:
                return self.plain(value, "the array")
            except InvalidInput as error:
                raise PydanticCustomError(MISFIT, "{what}", {"path": "", "what": str(error)}) from None
        try:
            return from_lists(value, self.datatype, self.shape)
        except Misfit as misfit:
            raise PydanticCustomError(MISFIT, "{what}", {"path": misfit.path, "what": misfit.what}) from None

    def _write(self, value: Any) -> Any:
        if not isinstance(value, np.ndarray):
            raise ValueError(f"expected an array of {self.datatype}, got {type(value).__name__}")
        return to_lists(self.plain(value, "the array"))

    def _schema(self, core: Any, handler: Any) -> dict[str, Any]:
        return lists_schema(self.datatype, self.shape)
