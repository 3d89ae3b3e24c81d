from __future__ import annotations

import keyword

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferloom.services.proto.names import Names, camel, json_name, segment, snake


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("x", "x"),
        ("X", "x"),
        ("sepalLength", "sepal_length"),
        ("HTTPRequest", "http_request"),
        ("input.1", "input_1"),
        ("a__b", "a_b"),
        ("class", "class_value"),
        ("9lives", "input_9lives"),
        ("日本", "input"),
        ("", "input"),
    ],
)
def test_a_tensor_is_called(name: str, field: str) -> None:
    assert Names("input").add(name) == field


@pytest.mark.parametrize("name", ["x", "X", "sepalLength", "sepal_length", "INPUT_IDS"])
def test_another_case_is_no_escape(name: str) -> None:
    names = Names("input")
    names.add(name)
    assert names.warnings == []


def test_each_escape_is_told() -> None:
    names = Names("input")
    for name in ("input.1", "class", "x", "X"):
        names.add(name)
    assert names.warnings == [
        "input 'input.1' is called 'input_1' in the proto",
        "input 'class' is called 'class_value' in the proto",
        "input 'X' is called 'x_2' in the proto",
    ]


@given(st.lists(st.text(max_size=8), max_size=20))
def test_fields_are_names_and_differ_in_their_json_names_too(texts: list[str]) -> None:
    names = Names("input")
    made = [names.add(text) for text in texts]
    assert all(name == snake(name) and name[0].isalpha() and not keyword.iskeyword(name) for name in made)
    assert len({json_name(name) for name in made}) == len(made)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("digits-forest", "digits_forest"),
        ("ReadDigit.explain", "read_digit_explain"),
        ("class", "class_model"),
        ("package", "package_model"),
        ("9to5", "model_9to5"),
        ("___", "model"),
    ],
)
def test_the_part_of_the_package_is(name: str, part: str) -> None:
    made, warning = segment(name)
    assert made == part
    assert warning == f"the name {name!r} is called '{part}' in the proto"


def test_two_names_do_not_share_a_package() -> None:
    assert segment("digits_ab") == ("digits_ab", "")
    assert segment("digits-ab", {"digits_ab"})[0] == "digits_ab_2"


@pytest.mark.parametrize(
    ("name", "made"), [("iris", "Iris"), ("ReadDigit", "ReadDigit"), ("a-b.c", "ABC"), ("9", "N9")]
)
def test_camel_case(name: str, made: str) -> None:
    assert camel(name) == made
