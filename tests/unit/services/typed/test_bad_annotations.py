"""What someone who declares a service is told about its annotations."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import numpy.typing as npt
import pytest

from inferloom.mesh.errors import ConfigError
from inferloom.services.typed import shape, types_of

if TYPE_CHECKING:
    from decimal import Decimal as Unseen


class Socket:
    pass


@dataclass
class Holder:
    arrays: list[npt.NDArray[np.float32]]


def untyped(png) -> int:  # type: ignore[no-untyped-def]
    return 1


def no_result(png: bytes):  # type: ignore[no-untyped-def]
    return 1


def star(*png: bytes) -> int:
    return 1


def socket(one: Socket) -> int:
    return 1


def gives_socket() -> Socket:
    return Socket()


def holder() -> Holder:
    return Holder([])


def bare(one: np.ndarray) -> int:
    return 1


def complex_numbers(one: npt.NDArray[np.complex128]) -> int:
    return 1


def any_numbers(one: npt.NDArray[Any]) -> int:
    return 1


def shaped_int(one: Annotated[int, shape(-1)]) -> int:
    return 1


def two_shapes(one: Annotated[npt.NDArray[np.float32], shape(-1), shape(2)]) -> int:
    return 1


def unseen(one: Unseen) -> int:
    return 1


def blocking() -> Iterator[int]:
    yield 1


async def misnamed() -> int:  # type: ignore[misc]  # that is the mistake
    yield 1


async def numbers() -> AsyncIterator[int]:
    yield 1


async def no_generator() -> AsyncIterator[int]:
    return numbers()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (untyped, "untyped: argument 'png' has no type (PLACE): write `png: bytes`, for instance"),
        (no_result, "no_result: its result has no type (PLACE): write `-> int`, for instance"),
        (star, "star: argument '*png' has no name a caller could use (PLACE): name each one"),
        (socket, "socket: argument 'one' is Socket: Unable to generate pydantic-core schema for"),
        (gives_socket, "gives_socket: its result is Socket: Unable to generate pydantic-core schema for"),
        (holder, "holder: field 'arrays' of its result is list[numpy.ndarray"),
        (bare, "bare: argument 'one' is ndarray: an array without a dtype: write npt.NDArray[np.float32]"),
        (complex_numbers, "an array of complex128; there are BF16, BOOL, BYTES,"),
        (any_numbers, "an array of Any has no one dtype: write npt.NDArray[np.float32]"),
        (shaped_int, "shape() belongs to an array, not to int"),
        (two_shapes, "an array with two shapes: write one shape()"),
        (unseen, "unseen: its annotations cannot be read: name 'Unseen' is not defined (PLACE); write types that"),
        (blocking, "(PLACE): write `async def` and `-> AsyncIterator[T]`"),
        (misnamed, "misnamed: its result is int (PLACE): a stream is an `async def` with `yield`"),
        (no_generator, "no_generator: its result is collections.abc.AsyncIterator[int] (PLACE): a stream is"),
    ],
)
def test_the_message_names_function_argument_and_cure(function: Callable[..., Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        types_of(function, where=function.__name__)
    place = f"{__file__}:{function.__code__.co_firstlineno}"
    assert message.replace("PLACE", place) in str(error.value)
    assert place in str(error.value)
    assert "\n" not in str(error.value)


def test_a_shape_is_of_whole_numbers() -> None:
    with pytest.raises(ConfigError, match=r"'n' is no size; write a whole number, or -1 for any"):
        shape(-1, "n")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"-2 is no size"):
        shape(-2)
