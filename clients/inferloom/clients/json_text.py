"""Inputs that are JSON: a service's argument of a type that has no tensor travels as text in one element of BYTES."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from inferloom.mesh.errors import InvalidInput

__all__ = ["JSON_PARAMETER", "json_text"]

JSON_PARAMETER = "inferloom.json"  # of a ModelConfig: names of such inputs, as a JSON list


def json_text(value: Any) -> Any:
    """The value as JSON text. What holds text or bytes goes as it is: it is JSON already.

    Args:
        value: text, bytes, an array of either; or numbers, truth, None, lists and mappings of them, arrays of numbers.

    Raises:
        InvalidInput: JSON has no such value; the message continues "input 'x' of S takes JSON, ".
    """
    if isinstance(value, (str, bytes, bytearray, memoryview)):
        return value
    if isinstance(value, np.ndarray) and value.dtype.kind in "OUST":
        return value
    try:
        return json.dumps(value, default=_plain, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(f"got a {type(value).__name__}: {error}") from None


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if hasattr(value, "__array__"):
        return np.asarray(value).tolist()
    raise TypeError(f"JSON has no {type(value).__name__}")
