"""What a caller who gives the wrong thing is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pytest
from pydantic import BaseModel, ConfigDict

from inferloom.mesh.errors import InvalidInput
from inferloom.services.tensor import Tensor
from inferloom.services.typed import shape, types_of


@dataclass
class Part:
    price: float


class Item(BaseModel):
    parts: list[Part]


class Loose(BaseModel):
    model_config = ConfigDict(extra="allow")
    n: int


def buy(png: bytes, pixels: Annotated[npt.NDArray[np.float32], shape(-1, 2)], items: list[Item] = []) -> int:  # noqa: B006
    return 1


def wrong() -> Any:
    return "three"


TYPES = types_of(buy, where="Buy")
PNG = Tensor("BYTES", (1,), b"\x01\x00\x00\x00a")
PIXELS = Tensor("FP32", (1, 2), bytes(8))


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({}, "input 'png' is missing; Buy takes png BYTES [1], pixels FP32 [-1,2], items BYTES [1] (optional)"),
        (
            {"png": PNG, "pixels": PIXELS, "item": PNG},
            "no input 'item' (did you mean 'items'?); "
            "Buy takes png BYTES [1], pixels FP32 [-1,2], items BYTES [1] (optional)",
        ),
        ({"png": PIXELS}, "input 'png' of Buy takes BYTES [1], got FP32 [1,2]"),
        ({"png": Tensor("BYTES", (2,), b"")}, "input 'png' of Buy takes BYTES [1], got BYTES [2]"),
        (
            {"png": Tensor("BYTES", (1,), b"\x09\x00\x00\x00a")},
            "input 'png' of Buy: its 5 bytes are not one element of BYTES behind its length",
        ),
        (
            {"png": PNG, "pixels": Tensor("FP32", (2, 3), bytes(24))},
            "input 'pixels' of Buy takes FP32 [-1,2], got FP32 [2,3]",
        ),
        (
            {"png": PNG, "pixels": Tensor("FP32", (2, 2), bytes(3))},
            "input 'pixels' of Buy: its 3 bytes are not 4 elements of FP32",
        ),
        (
            {"png": PNG, "pixels": PIXELS, "items": Tensor("BYTES", (1,), b"\x0f\x00\x00\x00" + b'[{"parts":[{}]}')},
            "input 'items' of Buy: the body is no JSON: EOF while parsing a list at line 1 column 15",
        ),
        (
            {"png": PNG, "pixels": PIXELS, "items": Tensor("BYTES", (1,), b"\x10\x00\x00\x00" + b'[{"parts":[{}]}]')},
            "input 'items' of Buy: [0].parts[0].price: is missing",
        ),
    ],
)
def test_a_wrong_tensor_is_named_with_what_it_takes(tensors: dict[str, Tensor], message: str) -> None:
    with pytest.raises(InvalidInput) as error:
        TYPES.arguments(tensors)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is no JSON: EOF while parsing a value at line 1 column 0"),
        (b"[]", "the body: Input should be an object"),
        (b"{}", "png: is missing; pixels: is missing"),
        (
            b'{"png":"AAAA","pixels":[],"pgn":1}',
            "pgn: is not known (did you mean 'png'?); Buy takes png, pixels, items",
        ),
        (b'{"png":"***","pixels":[]}', "png: Data should be valid base64: Invalid symbol 42, offset 0., got '***'"),
        (b'{"png":5,"pixels":[]}', "png: Input should be a valid bytes, got 5"),
        (b'{"png":"","pixels":[[1,2],[1]]}', "pixels[1]: takes 2 elements, got 1"),
        (b'{"png":"","pixels":[[1,"2"]]}', "pixels[0][1]: takes a number, got '2'"),
        (b'{"png":"","pixels":[[1,null]]}', "pixels[0][1]: takes a number, got null"),
        (b'{"png":"","pixels":[1,2]}', "pixels[0]: takes a list of one dimension, got 1"),
        (b'{"png":"","pixels":[[[1],2]]}', "pixels[0][0]: takes a number, not a list"),
        (b'{"png":"","pixels":[[1e39,2]]}', "pixels[0][0]: takes a number within FP32, got 1e+39"),
        (
            b'{"png":"","pixels":[],"items":[{"parts":[{"price":"a","z":1}]},{"q":1}]}',
            "items[0].parts[0].price: Input should be a valid number, unable to parse string as a number, got 'a'; "
            "items[0].parts[0].z: is not known here; items[1].parts: is missing; items[1].q: is not known here",
        ),
    ],
)
def test_wrong_json_is_told_with_the_path_of_every_fault(body: bytes, message: str) -> None:
    with pytest.raises(InvalidInput) as error:
        TYPES.arguments_json(body)
    assert str(error.value) == message


def test_of_many_faults_five_are_told() -> None:
    def f(numbers: list[int]) -> int:
        return 1

    with pytest.raises(InvalidInput) as error:
        types_of(f, where="f").arguments_json(b'{"numbers":["a","b","c","d","e","f","g"]}')
    assert str(error.value).startswith("numbers[0]: Input should be a valid integer")
    assert str(error.value).endswith("; and 2 more")
    assert str(error.value).count("; ") == 5


def test_a_name_that_a_caller_chose_cannot_swell_or_break_the_message() -> None:
    with pytest.raises(InvalidInput) as error:
        TYPES.arguments_json(b'{"png":"","pixels":[],"' + b"x" * 100_000 + b'":1,"a\\nb":2}')
    assert str(error.value).startswith(
        "x" * 57 + "...: is not known; Buy takes png, pixels, items; a\\nb: is not known"
    )
    with pytest.raises(InvalidInput) as error:
        TYPES.arguments({"png": PNG, "pixels": PIXELS, "y" * 100_000: PNG})
    assert len(str(error.value)) < 200


def test_a_model_that_says_itself_what_becomes_of_further_fields_is_left_its_word() -> None:
    def f(one: Loose) -> int:
        return 1

    assert types_of(f, where="f").arguments_json(b'{"one":{"n":1,"more":2}}')["one"].model_extra == {"more": 2}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("three", "the result of f: 'result' takes int, got str"),
        (None, "the result of f: 'result' takes int, got NoneType"),
        (2**63, "the result of f: 'result' takes a whole number of 64 bits, got 9223372036854775808"),
    ],
)
def test_a_function_that_returns_something_else_is_told_so(value: Any, message: str) -> None:
    def f() -> int:
        return 1

    with pytest.raises(TypeError) as error:
        types_of(f, where="f").result(value)
    assert str(error.value) == message


def test_a_result_of_another_class_or_shape_is_no_answer() -> None:
    def part() -> Part:
        return Part(1.0)

    def rows() -> Annotated[npt.NDArray[np.int64], shape(-1, 2)]:
        return np.zeros((0, 2), np.int64)

    types = types_of(part, where="part")
    with pytest.raises(TypeError, match=r"^the result of part is annotated Part, but it returned dict$"):
        types.result({"price": 1.0})
    with pytest.raises(TypeError, match=r"^the result of part: 'price' takes float, got str$"):
        types.result_json(Part("1"))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"takes INT64 \[-1,2\], got an array of shape \[3\]$"):
        types_of(rows, where="rows").result_json(np.zeros(3, np.int64))
    with pytest.raises(TypeError, match=r"takes an array of INT64, got float64"):
        types_of(rows, where="rows").result(np.zeros((1, 2)))


def test_callers_are_told_the_same_about_their_arguments() -> None:
    with pytest.raises(InvalidInput, match=r"^input 'png' of Buy takes bytes, got str$"):
        TYPES.tensors_of({"png": "text"})
    with pytest.raises(InvalidInput, match=r"^input 'png' is missing; Buy takes png"):
        TYPES.tensors_of({})
    with pytest.raises(InvalidInput, match=r"^no input 'pgn' \(did you mean 'png'\?\); Buy takes"):
        TYPES.tensors_of({"png": b"", "pixels": np.zeros((1, 2), np.float32), "pgn": b""})
    with pytest.raises(InvalidInput, match=r"^Buy answered without its output 'result'$"):
        TYPES.value_of({})
