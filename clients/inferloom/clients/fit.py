"""Makes what a caller gave into what a model takes, or says in one line why that cannot be.

Nothing here is lossy in silence: a cast that may lose digits comes back with a note, one that loses the value is refused.

    given                      the model takes     outcome
    float64 array              FP32, FP16, BF16    cast, with a note (a list of floats: no note)
    integers, booleans         FP..                cast; a note where they are too large to be exact
    integers                   another integer     cast; refused where a value does not fit
    floats                     an integer          refused
    str, bytes                 BYTES               as they are
    no batch dimension         [-1, ...]           one is added
    lists, mappings, None      JSON (of a service) JSON text; text and bytes go as they are
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from inferloom.clients.casts import cast
from inferloom.clients.datatypes import BYTES
from inferloom.clients.json_text import json_text
from inferloom.clients.metadata import ModelMetadata, TensorSpec
from inferloom.clients.near import nearest
from inferloom.mesh.errors import InvalidInput

__all__ = ["Fitted", "check_outputs", "fit", "to_array"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Fitted:
    """An input as it will be sent."""

    name: str
    datatype: str
    array: Array
    note: str = ""  # what the caller should be told about a cast


def fit(inputs: Any, model: ModelMetadata) -> list[Fitted]:
    """The model's inputs from what the caller gave.

    Args:
        inputs: a mapping from input name to array, list, scalar or text; or one such value, where the model takes one.

    Raises:
        InvalidInput: a name, dtype or shape is not what the model takes, an input is missing, or the batch is too big.
    """
    named = _named(inputs, model)
    specs = {spec.name: spec for spec in model.inputs}
    for name in named:
        if name not in specs:
            raise InvalidInput(f"no input '{name}'; {model.takes()}{_meant(name, specs)}")
    if model.configured:
        for spec in model.inputs:
            if spec.name not in named and not spec.optional:
                raise InvalidInput(f"input '{spec.name}' is missing; {model.takes()}")
    fitted = []
    for name, value in named.items():
        spec = specs[name]
        try:
            value = json_text(value) if spec.json else value
            array, note = cast(to_array(value, spec.datatype), spec.datatype, given=hasattr(value, "__array__"))
        except InvalidInput as error:
            takes = "JSON" if spec.json else spec.datatype
            raise InvalidInput(f"input '{name}' of {model.name} takes {takes}, {error}") from None
        note = note and f"input '{name}' of {model.name} takes {spec.datatype}: {note}"
        fitted.append(Fitted(name, spec.datatype, _shaped(array, spec, model.name), note))
    _check_batch(fitted, model)
    return fitted


def to_array(value: Any, datatype: str = "") -> Array:
    """An array of anything that numpy understands; text and bytes become objects, so that no NUL at an end is lost.

    Raises:
        InvalidInput: numpy cannot make an array of it.
    """
    if isinstance(value, (bytearray, memoryview)):
        value = bytes(value)
    try:
        if isinstance(value, np.ndarray):
            return value
        if datatype == BYTES and not hasattr(value, "__array__"):
            return np.array(value, dtype=object)
        array = np.asarray(value)
        return np.array(value, dtype=object) if array.dtype.kind in "SU" and not hasattr(value, "__array__") else array
    except (ValueError, TypeError, RuntimeError) as error:
        ragged = "inhomogeneous" in str(error)
        why = "its rows differ in length" if ragged else f"numpy makes no array of it: {error}"
        raise InvalidInput(f"got a {type(value).__name__}, but {why}") from None


def check_outputs(wanted: Sequence[str], model: ModelMetadata) -> None:
    """InvalidInput where the model has no output of such a name."""
    known = [spec.name for spec in model.outputs]
    for name in wanted:
        if name not in known:
            raise InvalidInput(f"no output '{name}'; {model.gives()}{_meant(name, known)}")


def _named(inputs: Any, model: ModelMetadata) -> Mapping[str, Any]:
    if isinstance(inputs, Mapping):
        return inputs
    required = [spec for spec in model.inputs if not spec.optional]
    if len(required) == 1:
        return {required[0].name: inputs}
    if len(model.inputs) == 1:
        return {model.inputs[0].name: inputs}
    raise InvalidInput(
        f"{model.takes()}: name them, as in {{'{model.inputs[0].name}': ...}}" if model.inputs else str(model)
    )


def _meant(name: str, known: Any) -> str:
    near = nearest(name, known)
    return f" (did you mean '{near}'?)" if near else ""


def _matches(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    return len(shape) == len(wanted) and all(w in (-1, s) for s, w in zip(shape, wanted, strict=True))


def _shaped(array: Array, spec: TensorSpec, model: str) -> Array:
    wanted, shape = spec.shape, array.shape
    if not wanted or _matches(shape, wanted):  # an empty shape: the server does not tell
        return array
    if wanted[0] == -1 and _matches(shape, wanted[1:]):
        return array[np.newaxis]
    if not shape and all(size in (-1, 1) for size in wanted):
        return array.reshape((1,) * len(wanted))
    sizes = ",".join(map(str, wanted))
    hint = ""
    fixed = math.prod(size for size in wanted if size != -1)
    if wanted.count(-1) == 1 and fixed and array.size and array.size % fixed == 0:
        hint = f"; .reshape({', '.join(map(str, wanted))}) would fit"
    any_size = " (-1: any size)" if -1 in wanted else ""
    raise InvalidInput(f"input '{spec.name}' of {model} takes shape [{sizes}]{any_size}, got {list(shape)}{hint}")


def _check_batch(fitted: list[Fitted], model: ModelMetadata) -> None:
    if not model.max_batch_size:
        return
    sizes = {item.name: item.array.shape[0] for item in fitted if item.array.shape}
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise InvalidInput(f"the inputs of {model.name} differ in batch size: {listed}")
    for size in sizes.values():
        if size > model.max_batch_size:
            raise InvalidInput(
                f"{model.name} takes batches of at most {model.max_batch_size}, got {size}: send it in parts"
            )
