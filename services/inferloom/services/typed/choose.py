"""The codec of an annotation."""

from __future__ import annotations

import types
from typing import Annotated, Any, NewType, Union, get_args, get_origin

import numpy as np

from inferloom.mesh.errors import ConfigError
from inferloom.services.typed.arrays import ArrayCodec, array_datatype
from inferloom.services.typed.codec import Codec
from inferloom.services.typed.constrained import ConstrainedCodec
from inferloom.services.typed.hints import spelled
from inferloom.services.typed.lists import ListCodec
from inferloom.services.typed.scalars import SCALARS
from inferloom.services.typed.shape import Shape
from inferloom.services.typed.structured import JsonCodec

__all__ = ["codec_of", "without_none"]


def codec_of(annotation: Any) -> Codec:
    """Raises ConfigError, without the place, where a type has none."""
    base, extras = _peel(annotation)
    shapes = [extra for extra in extras if isinstance(extra, Shape)]
    others = [extra for extra in extras if not isinstance(extra, Shape)]
    if base is np.ndarray or get_origin(base) is np.ndarray:
        if len(shapes) > 1:
            raise ConfigError("an array with two shapes: write one shape()")
        codec = ArrayCodec(array_datatype(base), shapes[0].sizes if shapes else ())
        return codec if not others else _constrained(codec, others)
    if shapes:
        raise ConfigError(f"shape() belongs to an array, not to {spelled(base)}")
    scalar = SCALARS.get(base) if isinstance(base, type) else None
    if scalar is not None:
        return scalar if not others else _constrained(scalar, others)
    arguments = get_args(base)
    if get_origin(base) is list and len(arguments) == 1:
        each = SCALARS.get(arguments[0]) if isinstance(arguments[0], type) else None
        if each is not None:
            return ListCodec(each) if not others else _constrained(ListCodec(each), others)
    return JsonCodec(annotation)


def without_none(annotation: Any) -> tuple[Any, bool]:
    """`X | None` -> (X, True); anything else -> (itself, False)."""
    if get_origin(annotation) in (Union, types.UnionType):
        rest = [each for each in get_args(annotation) if each is not type(None)]
        if len(rest) == 1 and len(get_args(annotation)) == 2:
            return rest[0], True
    return annotation, False


def _constrained(codec: Codec, extras: list[Any]) -> Codec:
    annotation = codec.annotation
    for extra in extras:
        annotation = Annotated[annotation, extra]
    return ConstrainedCodec(codec, annotation)


def _peel(annotation: Any) -> tuple[Any, list[Any]]:
    """The type below Annotated, NewType and `type X = ...`, and what was written beside it."""
    extras: list[Any] = []
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *beside = get_args(annotation)
            extras = [*beside, *extras]
        elif isinstance(annotation, NewType):
            annotation = annotation.__supertype__
        elif type(annotation).__name__ == "TypeAliasType":  # typing's from Python 3.12 on
            annotation = annotation.__value__
        else:
            return annotation, extras
