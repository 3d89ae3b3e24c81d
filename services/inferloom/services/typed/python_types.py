"""Types of a Python function, from its annotations."""

from __future__ import annotations

import inspect
import re
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
)
from typing import Any, NamedTuple, NotRequired, Optional, get_args, get_origin

from inferloom.clients.metadata import TensorSpec
from inferloom.mesh.errors import ConfigError
from inferloom.services.signature import Signature
from inferloom.services.typed.choose import codec_of, without_none
from inferloom.services.typed.codec import Codec
from inferloom.services.typed.function_types import FunctionTypes
from inferloom.services.typed.hints import hints_of, place_of, spelled
from inferloom.services.typed.inputs import Input, Inputs
from inferloom.services.typed.outputs import Outputs
from inferloom.services.typed.structured import JsonCodec

__all__ = ["types_of"]

_STREAMS = (AsyncIterator, AsyncGenerator, AsyncIterable)
_BLOCKING_STREAMS = (Iterator, Generator, Iterable)
_PLACE = re.compile(r" \([^()]*:\d+\)\Z")
CURE = "write bytes, str, int, float, bool, a list of these, an array, a dataclass, or a type that pydantic knows"


class _Argument(NamedTuple):
    name: str
    annotation: Any
    default: Any


def types_of(function: Callable[..., Any], *, where: str, rows: bool = False) -> FunctionTypes:
    """The types of a function, method, async function or async generator.

    Args:
        where: its name, for messages; a place behind it, " (app.py:12)", is left out: callers are told these messages.
        rows: it takes and gives arrays whose first dimension is the batch.

    Raises:
        ConfigError: an annotation is missing, unknown or has no tensor; names function, argument and place.
    """
    where = _PLACE.sub("", where)
    hints = hints_of(function, where)
    place = place_of(function)
    inputs = [_input(each, where, place) for each in _arguments(function, hints, where, place)]
    answer, streams = _answer(function, hints, where, place)
    outputs = Outputs.of(answer, where, place)
    signature = Signature(tuple(each.spec for each in inputs), outputs.specs, rows, streams)
    if rows:
        _check_rows(signature, where, place)
    return FunctionTypes(where, signature, Inputs(where, inputs), outputs)


def _arguments(function: Callable[..., Any], hints: dict[str, Any], where: str, place: str) -> list[_Argument]:
    found = []
    parameters = list(inspect.signature(function).parameters.values())
    if parameters and parameters[0].name == "self" and parameters[0].name not in hints:
        parameters = parameters[1:]
    for parameter in parameters:
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            shown = str(parameter.replace(annotation=parameter.empty))
            raise ConfigError(f"{where}: argument '{shown}' has no name a caller could use ({place}): name each one")
        if parameter.name not in hints:
            raise ConfigError(
                f"{where}: argument '{parameter.name}' has no type ({place}): write `{parameter.name}: bytes`, for instance"
            )
        found.append(_Argument(parameter.name, hints[parameter.name], parameter.default))
    return found


def _input(argument: _Argument, where: str, place: str) -> Input:
    optional = argument.default is not inspect.Parameter.empty
    annotation, nullable = without_none(argument.annotation)
    absent = nullable and argument.default is None  # then None is sent by leaving the tensor out
    if not absent:
        annotation = argument.annotation
    codec = _codec(annotation, f"argument '{argument.name}'", where, place)
    spec = TensorSpec(argument.name, codec.datatype, codec.shape, optional, json=isinstance(codec, JsonCodec))
    annotated = Optional[codec.annotation] if absent else codec.annotation  # noqa: UP045  # a value, not an annotation
    return Input(spec, codec, NotRequired[annotated] if optional else annotated, absent, argument.default)


def _codec(annotation: Any, what: str, where: str, place: str) -> Codec:
    try:
        return codec_of(annotation)
    except ConfigError as error:
        raise ConfigError(f"{where}: {what} is {spelled(annotation)}: {error} ({place}); {CURE}") from None


def _answer(function: Callable[..., Any], hints: dict[str, Any], where: str, place: str) -> tuple[Any, bool]:
    """What it returns, or yields one by one."""
    if "return" not in hints:
        raise ConfigError(f"{where}: its result has no type ({place}): write `-> int`, for instance")
    answer = hints["return"]
    origin = get_origin(answer) or answer
    if origin in (Awaitable, Coroutine):
        answer = get_args(answer)[-1]
        origin = get_origin(answer) or answer
    streams = origin in _STREAMS
    yields = inspect.isasyncgenfunction(inspect.unwrap(function))
    if (yields and not streams) or (streams and inspect.iscoroutinefunction(function)):
        raise ConfigError(
            f"{where}: its result is {spelled(answer)} ({place}): "
            "a stream is an `async def` with `yield` and `-> AsyncIterator[T]`"
        )
    if origin in _BLOCKING_STREAMS:
        raise ConfigError(
            f"{where}: its result is {spelled(answer)} ({place}): write `async def` and `-> AsyncIterator[T]`"
        )
    if streams:
        if not get_args(answer):
            raise ConfigError(f"{where}: its stream has no type ({place}): write `-> AsyncIterator[str]`, for instance")
        answer = get_args(answer)[0]
    return answer, streams


def _check_rows(signature: Signature, where: str, place: str) -> None:
    for spec in (*signature.inputs, *signature.outputs):
        if spec.shape and spec.shape[0] != -1:
            raise ConfigError(
                f"{where}: '{spec.name}' is {spec.datatype} {list(spec.shape)} ({place}): with rows=True the first size is "
                "the batch; write an array with shape(-1, ...) or a list"
            )
