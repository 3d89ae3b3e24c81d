"""Examples that a JSON Schema accepts: checked by pydantic, whose schema it is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, TypeAdapter

from inferloom.services.typed.nested import from_lists, lists_schema
from inferloom.services.typed.schema_example import example_of


class Colour(Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    y: float = 1.5


@dataclass
class Line:
    ends: tuple[Point, Point]
    colour: Colour
    name: str | None
    by: dict[str, int]


@dataclass
class Tree:
    children: list[Tree]


KINDS: list[Any] = [
    int,
    float,
    bool,
    str,
    list[list[float]],
    Literal["a", "b"],
    Colour,
    Point,
    Line,
    Tree,
    int | str,
    None,
    Annotated[int, Field(ge=3)],
    Annotated[str, Field(max_length=2)],
    Annotated[list[int], Field(min_length=3)],
    Annotated[list[int], Field(max_length=0)],
    Annotated[int, Field(examples=[7])],
    dict[str, Any],
]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_example_is_valid(kind: Any) -> None:
    adapter = TypeAdapter(kind)
    adapter.validate_json(TypeAdapter(Any).dump_json(example_of(adapter.json_schema())))


def test_it_is_the_schemas_own_where_there_is_one() -> None:
    assert example_of({"type": "integer", "examples": [7, 8]}) == 7
    assert example_of({"type": "integer", "default": 9}) == 9


def test_of_an_object_it_has_what_is_required_or_else_all() -> None:
    fields = {"a": {"type": "integer"}, "b": {"type": "boolean"}}
    assert example_of({"type": "object", "properties": fields, "required": ["b"]}) == {"b": False}
    assert example_of({"type": "object", "properties": fields}) == {"a": 0, "b": False}


def test_bytes_are_base64() -> None:
    assert example_of({"type": "string", "contentEncoding": "base64"}) == "aGVsbG8="


@pytest.mark.parametrize("datatype", ["FP32", "INT64", "BOOL", "BYTES"])
def test_of_an_array_of_any_shape_it_is_a_list_that_is_taken(datatype: str) -> None:
    example = example_of(lists_schema(datatype, ()))
    assert from_lists(example, datatype, ()).shape == (1,)
