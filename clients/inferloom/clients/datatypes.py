"""The datatypes of the Open Inference Protocol v2 and what they are in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np

from inferloom.mesh.errors import InvalidInput

__all__ = ["BF16", "BYTES", "NUMPY", "datatype_of", "numpy_type"]

BYTES = "BYTES"
BF16 = "BF16"

NUMPY: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    BF16: np.dtype("<f4"),  # numpy has no bfloat16; float32 holds each of its values exactly
    BYTES: np.dtype("O"),
}
"""The dtype of the array a caller sees for each datatype."""

_OIP = {dtype: name for name, dtype in NUMPY.items() if name not in (BF16, BYTES)}


def numpy_type(datatype: str, tensor: str) -> np.dtype[Any]:
    """The dtype for `datatype`; InvalidInput naming `tensor` where the protocol has no such datatype."""
    try:
        return NUMPY[datatype]
    except KeyError:
        raise InvalidInput(f"tensor '{tensor}' has datatype {datatype!r}; known are {', '.join(NUMPY)}") from None


def datatype_of(array: np.ndarray[Any, Any], tensor: str) -> str:
    """The datatype an array has by itself: text and objects are BYTES, ml_dtypes' bfloat16 is BF16.

    Raises:
        InvalidInput: the protocol has no datatype for it (complex numbers, dates); names `tensor`.
    """
    if array.dtype.kind in "OUST":
        return BYTES
    if array.dtype.name == "bfloat16":
        return BF16
    name = _OIP.get(array.dtype.newbyteorder("<"))
    if name is None:
        raise InvalidInput(f"tensor '{tensor}' is an array of {array.dtype}; the protocol has {', '.join(NUMPY)}")
    return name
