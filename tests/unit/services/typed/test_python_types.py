"""From annotations to tensors and JSON, as calls meet them."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from pydantic import BaseModel, Field

from inferloom.mesh.errors import ConfigError, InvalidInput
from inferloom.services.tensor import Tensor
from inferloom.services.typed import Types, shape, types_of

Pixels = Annotated[npt.NDArray[np.float32], shape(-1, 4)]


@dataclass
class Answer:
    label: int
    sure: float
    scores: Pixels = field(default_factory=lambda: np.zeros((0, 4), np.float32))


@dataclass
class Part:
    raw: bytes
    price: float


class Item(BaseModel):
    price: float
    parts: list[Part] = []


class Pair(NamedTuple):
    left: str
    right: bool


class Reader:
    async def predict(self, png: bytes) -> Answer:
        return Answer(len(png), 0.5)


def plain(n: int, x: float, yes: bool, text: str, raw: bytes, many: list[int], words: list[str]) -> str:
    return text


def item(items: list[Item], kind: Literal["a", "b"] = "a") -> dict[str, float]:
    return {kind: sum(each.price for each in items)}


def of(function: Callable[..., Any]) -> Types:
    return types_of(function, where=function.__name__)


def test_every_argument_is_an_input_by_its_name() -> None:
    specs = [str(spec) for spec in of(plain).signature.inputs]
    assert specs == [
        "n INT64 [1]",
        "x FP64 [1]",
        "yes BOOL [1]",
        "text BYTES [1]",
        "raw BYTES [1]",
        "many INT64 [-1]",
        "words BYTES [-1]",
    ]
    assert [str(spec) for spec in of(plain).signature.outputs] == ["result BYTES [1]"]


def test_a_method_leaves_self_out_and_a_dataclass_gives_one_output_per_field() -> None:
    signature = types_of(Reader.predict, where="Reader").signature
    assert [str(spec) for spec in signature.inputs] == ["png BYTES [1]"]
    assert [str(spec) for spec in signature.outputs] == ["label INT64 [1]", "sure FP64 [1]", "scores FP32 [-1,4]"]


def test_arguments_come_back_from_their_tensors_and_from_json() -> None:
    types = of(plain)
    given = {"n": -3, "x": 0.1, "yes": True, "text": "é", "raw": b"\x00\xff", "many": [1, 2], "words": ["a", ""]}
    assert types.arguments(types.tensors_of(given)) == given
    body = b'{"n":-3,"x":0.1,"yes":true,"text":"\xc3\xa9","raw":"AP8=","many":[1,2],"words":["a",""]}'
    assert types.arguments_json(body) == given


@pytest.mark.parametrize("sizes", [(), (1,), (1, 1)])
def test_a_single_value_may_come_in_any_shape_of_one_element(sizes: tuple[int, ...]) -> None:
    def double(n: int) -> int:
        return 2 * n

    assert of(double).arguments({"n": Tensor("INT64", sizes, struct.pack("<q", 7))}) == {"n": 7}


def test_a_result_goes_to_outputs_and_to_json_and_back() -> None:
    types = types_of(Reader.predict, where="Reader")
    answer = Answer(3, 0.25, np.ones((1, 4), np.float32))
    back = types.value_of(dict(types.result(answer)))
    assert (back.label, back.sure, back.scores.tolist()) == (3, 0.25, [[1.0] * 4])
    assert types.result_json(answer) == b'{"label":3,"sure":0.25,"scores":[[1.0,1.0,1.0,1.0]]}'


def test_numpys_own_scalars_and_wider_floats_are_taken_as_results() -> None:
    types = types_of(Reader.predict, where="Reader")
    answer: Any = Answer(np.int64(3), np.float32(0.5), np.ones((1, 4)))  # type: ignore[arg-type]
    assert types.result_json(answer) == b'{"label":3,"sure":0.5,"scores":[[1.0,1.0,1.0,1.0]]}'
    assert dict(types.result(answer))["scores"].datatype == "FP32"


def test_a_named_tuple_is_an_object_in_json_and_an_output_per_field() -> None:
    def pair() -> Pair:
        return Pair("a", True)

    types = of(pair)
    assert types.result_json(Pair("a", True)) == b'{"left":"a","right":true}'
    assert types.value_of(dict(types.result(Pair("a", False)))) == Pair("a", False)


def test_a_pydantic_model_gives_one_output_per_field_and_writes_itself() -> None:
    class Told(BaseModel):
        label: int
        sure: float = Field(serialization_alias="confidence")

    def tell() -> Told:
        return Told(label=1, sure=0.5)

    types = of(tell)
    assert [spec.name for spec in types.signature.outputs] == ["label", "sure"]
    assert types.result_json(tell()) == b'{"label":1,"confidence":0.5}'
    assert types.value_of(dict(types.result(tell()))) == tell()


def test_what_returns_nothing_has_no_outputs_and_is_null_in_json() -> None:
    def note(text: str) -> None:
        return None

    types = of(note)
    assert types.signature.outputs == ()
    assert (types.result(None), types.result_json(None), types.value_of({})) == ([], b"null", None)


def test_defaults_make_inputs_optional_and_absent_ones_are_left_to_the_function() -> None:
    def f(n: int, m: int = 2, who: str | None = None) -> int:
        return n + m

    types = of(f)
    assert [spec.optional for spec in types.signature.inputs] == [False, True, True]
    assert types.arguments(types.tensors_of({"n": 1, "who": None})) == {"n": 1}
    assert types.arguments_json(b'{"n": 1}') == {"n": 1}
    assert types.arguments_json(b'{"n": 1, "who": null}') == {"n": 1, "who": None}


def test_an_optional_value_with_another_default_travels_as_json() -> None:
    def f(n: int | None = 5) -> int | None:
        return n

    types = of(f)
    assert types.arguments(types.tensors_of({"n": None})) == {"n": None}
    assert types.value_of(dict(types.result(None))) is None
    assert types.result_json(None) == b"null"


def test_anything_else_that_pydantic_knows_is_json_in_one_element() -> None:
    types = of(item)
    items = [Item(price=1.5, parts=[Part(b"a", 0.5)])]
    tensors = types.tensors_of({"items": items, "kind": "b"})
    assert tensors["kind"].raw == b'\x03\x00\x00\x00"b"'
    assert types.arguments(tensors) == {"items": items, "kind": "b"}


def test_bytes_are_written_in_the_standard_alphabet_of_base64_also_deep_inside() -> None:
    def f() -> dict[str, Part]:
        return {"a": Part(b"\xfb\xff", float("inf"))}

    assert of(f).result_json(f()) == b'{"a":{"raw":"+/8=","price":"Infinity"}}'


def test_an_async_generator_streams_what_its_iterator_is_of() -> None:
    async def tokens(text: str) -> AsyncIterator[str]:
        for word in text.split():
            yield word

    types = of(tokens)
    assert types.signature.streams
    assert [str(spec) for spec in types.signature.outputs] == ["result BYTES [1]"]
    assert types.result_json("a") == b'"a"'


def test_types_declared_inside_a_function_are_found() -> None:
    @dataclass
    class Local:
        n: int

    def f(one: Local) -> Local:
        raise AssertionError

    types = of(f)
    assert types.arguments_json(b'{"one": {"n": 1}}')["one"] == Local(1)


def test_constraints_are_checked_on_both_faces() -> None:
    def f(n: Annotated[int, Field(ge=0)]) -> int:
        return n

    types = of(f)
    with pytest.raises(InvalidInput, match=r"^n: Input should be greater than or equal to 0, got -1$"):
        types.arguments_json(b'{"n": -1}')
    with pytest.raises(InvalidInput, match=r"^input 'n' of f: Input should be greater than or equal to 0, got -1$"):
        types.arguments({"n": Tensor("INT64", (1,), struct.pack("<q", -1))})


def test_names_that_pydantic_keeps_for_itself_are_names_like_any() -> None:
    def f(json: int, schema: int, model_config: int, copy: int = 1) -> int:
        return json

    assert of(f).arguments_json(b'{"json":1,"schema":2,"model_config":3}') == {
        "json": 1,
        "schema": 2,
        "model_config": 3,
    }


def test_the_description_is_a_schema_that_refuses_further_fields_and_tells_defaults() -> None:
    described = of(item).description("Adds prices.")
    assert described.text == "Adds prices."
    assert described.request["additionalProperties"] is False
    assert described.request["required"] == ["items"]
    assert described.request["properties"]["kind"]["default"] == "a"
    assert described.request["properties"]["items"]["items"] == {"$ref": "#/$defs/Item"}
    assert described.response == {"additionalProperties": {"type": "number"}, "type": "object"}
    png = types_of(Reader.predict, where="Reader").description().request["properties"]["png"]
    assert (png["type"], png["contentEncoding"]) == ("string", "base64")


def test_a_place_behind_the_name_is_not_told_to_callers() -> None:
    types = types_of(Reader.predict, where="Reader (/home/me/app.py:12)")
    with pytest.raises(InvalidInput, match=r"^input 'png' is missing; Reader takes png BYTES \[1\]$"):
        types.arguments({})


def test_rows_need_a_batch_dimension_everywhere() -> None:
    def scale(pixels: Pixels, by: float) -> Pixels:
        return pixels

    with pytest.raises(ConfigError, match=r"scale: 'by' is FP64 \[1\] .*with rows=True the first size is the batch"):
        types_of(scale, where="scale", rows=True)
