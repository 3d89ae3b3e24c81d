"""Values that are always the same: from Python into the document, and from the document to a tensor."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Value

from inferloom.clients.datatypes import BF16, BYTES, numpy_type
from inferloom.clients.metadata import TensorSpec
from inferloom.mesh.errors import InvalidInput
from inferloom.services.composer.symbols import Symbol
from inferloom.services.tensor import Tensor

__all__ = ["LARGEST", "tensor_of", "value_of"]

LARGEST = 4096  # numbers in one constant; more belongs into a step or a model
_EXACT = 2**53  # whole numbers beyond it are not exact in JSON


def value_of(value: Any) -> Value:
    """A Python value for the document: numbers, text, bytes, lists, small arrays; dataclasses and mappings as JSON text.

    Raises:
        InvalidInput: it is none of these, holds a traced value, or is too large.
    """
    return ParseDict(_plain(value), Value())


def tensor_of(value: Value, spec: TensorSpec | None, *, row: bool = False) -> Tensor:
    """The tensor of a value.

    Args:
        spec: what takes it; None: INT64, FP64, BOOL or BYTES by the value itself.
        row: the first dimension of `spec` is the batch, and the value is one row of it: the tensor's is 1.

    Raises:
        InvalidInput: the value is not of that datatype or shape; says both.
    """
    plain = MessageToDict(value)
    datatype = (spec.datatype if spec else "") or _datatype(plain)
    wanted = spec.shape[1:] if spec and row else spec.shape if spec else ()
    array = _array(plain, datatype)
    if array.ndim == 0 and not (row and spec and len(wanted) == 0):
        array = array.reshape((1,) * max(1, len(wanted)))
    if spec and spec.shape and not _fits(array.shape, wanted):
        raise InvalidInput(f"a value of shape {list(array.shape)}; it is {spec}{' (one row of it)' if row else ''}")
    return Tensor.of(array[np.newaxis] if row else array, datatype, spec.name if spec else "constant")


def _plain(value: Any) -> Any:
    if isinstance(value, Symbol):
        raise InvalidInput(
            f"{value!r} inside a constant; give it as an input of its own, or build the value in a @step"
        )
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > _EXACT:
        raise InvalidInput(f"{value} is beyond 2**53, where a constant is not exact; make it in a @step")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        try:
            return bytes(value).decode()
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(bytes(value)).decode()}
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        found = [_plain(inner) for inner in value]
        if _size(found) > LARGEST:
            raise InvalidInput(f"a constant of {_size(found)} values; {LARGEST} is the most: make it in a @step")
        return found
    return json.dumps(_jsonable(value))


def _jsonable(value: Any) -> Any:
    if isinstance(value, Symbol):
        _plain(value)
    if isinstance(value, Mapping):
        return {str(key): _jsonable(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(inner) for inner in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _jsonable(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise InvalidInput(f"a {type(value).__name__} cannot be a constant; numbers, text, bytes, lists and arrays can")


def _size(value: Any) -> int:
    return sum(map(_size, value)) if isinstance(value, list) else 1


def _datatype(plain: Any) -> str:
    while isinstance(plain, list):
        plain = plain[0] if plain else 0.0
    if isinstance(plain, bool):
        return "BOOL"
    if isinstance(plain, float):  # numbers of a Value are all floats
        return "INT64" if plain.is_integer() else "FP64"
    return BYTES


def _array(plain: Any, datatype: str) -> np.ndarray[Any, Any]:
    if datatype == BYTES:
        try:
            nested = _bytes(plain)
        except (ValueError, binascii.Error) as error:
            raise InvalidInput(f"{_short(plain)} is no text for BYTES ({error})") from None
        array = np.empty(np.shape(nested) if isinstance(nested, list) else (), object)
        array[...] = nested
        return array
    dtype = numpy_type(datatype, "constant")
    try:
        array = np.asarray(plain)
        with np.errstate(invalid="ignore"):  # beyond the integers: told below
            cast = array.astype(np.float32 if datatype == BF16 else dtype)
    except (ValueError, TypeError, OverflowError):
        raise InvalidInput(f"{_short(plain)} is no {datatype}") from None
    exact = array.dtype.kind == dtype.kind == "b" or (array.dtype.kind in "iuf" and dtype.kind != "b")
    if not exact or (dtype.kind in "iu" and not np.array_equal(cast, array)):
        raise InvalidInput(f"{_short(plain)} is no {datatype}")
    return cast


def _bytes(plain: Any) -> Any:
    if isinstance(plain, list):
        return [_bytes(inner) for inner in plain]
    if isinstance(plain, dict) and plain.keys() == {"base64"}:
        return base64.b64decode(plain["base64"], validate=True)
    if isinstance(plain, str):
        return plain.encode()
    raise ValueError("write it in quotes")


def _fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(shape) == len(wanted) and all(want in (-1, size) for size, want in zip(shape, wanted, strict=True))


def _short(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
