"""numpy arrays to the bytes of the Open Inference Protocol v2 and back.

    encode   the array's own memory, without a copy where it is contiguous
    decode   a read-only view on the bytes received, without a copy; `.copy()` makes one that can be written

Text and bytes (BYTES) are copied both ways; BF16 is float32 on the Python side (exact on the way in, rounded to the
nearest even on the way out) unless the array given is ml_dtypes' bfloat16, whose bits are sent as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from inferloom.clients import strings
from inferloom.clients.datatypes import BF16, BYTES, numpy_type
from inferloom.mesh.errors import InvalidInput

__all__ = ["Buffer", "decode", "decode_typed", "encode"]

Array = np.ndarray[Any, Any]
Buffer = bytes | memoryview


def encode(array: Array, datatype: str, tensor: str = "tensor") -> Buffer:
    """The raw contents of a tensor, row-major and little-endian.

    Args:
        array: any shape; its dtype is the one `datatype` stands for (float32 or bfloat16 for BF16; str, bytes or
            objects of these for BYTES).
        tensor: its name, for messages.

    Raises:
        InvalidInput: the dtype does not belong to the datatype, or a BYTES element is neither str nor bytes.
    """
    if datatype == BYTES:
        return strings.join(array, tensor)
    wanted = numpy_type(datatype, tensor)
    if datatype == BF16:
        array = array.view(np.uint16) if array.dtype.name == "bfloat16" else _to_bfloat16(array.astype(np.float32))
    elif array.dtype != wanted:
        if array.dtype.newbyteorder("<") != wanted:
            raise InvalidInput(f"tensor '{tensor}' is {array.dtype}; {datatype} is {wanted}")
        array = array.astype(wanted)
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def decode(data: Buffer, datatype: str, shape: Sequence[int], tensor: str = "tensor") -> Array:
    """The array in a tensor's raw contents.

    Returns:
        a read-only view of `shape`; BYTES is an object array of bytes, BF16 float32 (both fresh arrays).

    Raises:
        InvalidInput: the data is not as long as datatype and shape say; names `tensor`.
    """
    count = math.prod(shape)
    if datatype == BYTES:
        return strings.split(data, count, tensor).reshape(shape)
    wire = np.dtype("<u2") if datatype == BF16 else numpy_type(datatype, tensor)
    if len(data) != count * wire.itemsize:
        expected = f"{datatype} {list(shape)} has {count * wire.itemsize}"
        raise InvalidInput(f"tensor '{tensor}' came with {len(data)} bytes; {expected}")
    flat = np.frombuffer(data, wire)
    if datatype == BF16:
        flat = (flat.astype("<u4") << 16).view("<f4")
    return flat.reshape(shape)


_TYPED = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    BYTES: "bytes_contents",
}


def decode_typed(contents: Any, datatype: str, shape: Sequence[int], tensor: str = "tensor") -> Array:
    """The array in an `InferTensorContents`, which servers other than Triton use in place of raw contents.

    Raises:
        InvalidInput: the number of elements is not that of the shape, or the datatype has no such field (FP16, BF16).
    """
    field = _TYPED.get(datatype)
    if field is None:
        raise InvalidInput(f"tensor '{tensor}' is {datatype}, which only raw contents can hold")
    values = getattr(contents, field)
    if len(values) != math.prod(shape):
        raise InvalidInput(f"tensor '{tensor}' came with {len(values)} elements; its shape is {list(shape)}")
    flat = np.empty(len(values), dtype=numpy_type(datatype, tensor))
    flat[:] = values
    return flat.reshape(shape)


def _to_bfloat16(array: Array) -> Array:
    """The upper halves of float32 values, rounded to the nearest even; a NaN stays one."""
    bits = np.ascontiguousarray(array).view(np.uint32)
    rounded = (bits + (np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1)))) >> np.uint32(16)
    quiet = (bits >> np.uint32(16)) | np.uint32(0x40)
    return np.where(np.isnan(array), quiet, rounded).astype("<u2")
