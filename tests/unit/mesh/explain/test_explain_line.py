"""The line of JSON in trailing metadata, and its bound."""

from __future__ import annotations

import json
from typing import Any

import pytest

from inferloom.mesh.explain.line import ROOM, heard, line

SMALL: dict[str, Any] = {"request_id": "r", "model": "iris", "code": "OK", "ms": 1.5, "replica": "a", "kind": "asked"}


def attempts(count: int, why: str = "x" * 300) -> list[dict[str, Any]]:
    return [{"model": "iris", "replica": f"a{n}", "code": "UNAVAILABLE", "why": why, "ms": 1.0} for n in range(count)]


def steps(count: int) -> list[dict[str, Any]]:
    return [{"step": f"node{n}", "ms": 1.0, "code": "OK", "attempts": attempts(2)} for n in range(count)]


def test_what_fits_is_told_whole() -> None:
    assert json.loads(line(SMALL)) == SMALL


def test_it_is_one_line_of_ascii() -> None:
    text = line(SMALL | {"message": "zwei\nZeilen, größer"})
    assert text.isascii()
    assert "\n" not in text


@pytest.mark.parametrize(
    "large",
    [
        {"message": "m" * 5000},
        {"attempts": attempts(64)},
        {"steps": steps(64)},
        {"passed_over": [{"replica": f"r{n}", "why": "w" * 300} for n in range(20)]},
        {"notes": {f"node{n}.late": "n" * 300 for n in range(64)}},
        {"inside": SMALL | {"steps": steps(64), "inside": SMALL | {"attempts": attempts(64)}}},
        {"model": "m" * 5000, "request_id": "i" * 5000},
    ],
    ids=lambda large: next(iter(large)),
)
def test_what_is_too_much_is_cut_to_the_bound_and_says_so(large: dict[str, Any]) -> None:
    whole = SMALL | large
    before = json.dumps(whole)
    text = line(whole)
    assert len(text) <= ROOM
    short = json.loads(text)
    assert short["cut"] is True
    assert short["code"] == "OK"
    assert json.dumps(whole) == before, "what is remembered stays whole"


def test_texts_are_shortened_before_anything_is_left_out() -> None:
    short = json.loads(line(SMALL | {"attempts": attempts(15)}))
    assert len(short["attempts"]) == 15
    assert short["attempts"][0]["why"].endswith("...")


@pytest.mark.parametrize("text", ["", "{", "[1]", '"x"', "{" + " " * 3 * ROOM + "}"])
def test_what_a_replica_tells_that_is_no_object_is_not_heard(text: str) -> None:
    assert heard(text) is None


def test_an_object_is_heard() -> None:
    assert heard(line(SMALL)) == SMALL
