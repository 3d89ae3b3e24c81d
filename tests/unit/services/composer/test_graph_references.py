"""References and durations."""

from __future__ import annotations

import pytest

from inferloom.mesh.errors import InvalidInput
from inferloom.services.composer.durations import duration
from inferloom.services.composer.references import Reference, is_name, seconds


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("input.png", Reference("input", "png")),
        ("decode.pixels", Reference("decode", "pixels")),
        ("decode", Reference("decode", "")),
        ("digits-svm-2.dense/out.1", Reference("digits-svm-2", "dense/out.1")),
    ],
)
def test_a_reference_divides_at_its_first_dot(text: str, reference: Reference) -> None:
    assert Reference.parse(text) == reference
    assert str(reference) == text


@pytest.mark.parametrize("text", ["", "input", "a.", ".a", "a b", "1a.x"])
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        Reference.parse(text)
    assert str(raised.value) == f"{text!r} is no reference; one is input.NAME, NODE.OUTPUT or NODE (its only output)"


def test_a_node_is_not_called_input() -> None:
    assert not is_name("input")
    assert not is_name("a.b")
    assert is_name("_a-1")


@pytest.mark.parametrize(("text", "value"), [("50ms", 0.05), ("2s", 2), ("1.5m", 90), ("1h", 3600)])
def test_durations_have_a_unit(text: str, value: float) -> None:
    assert seconds(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "5", "5 days", "-1s", "ms"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="is no duration; write a number and ms, s, m or h"):
        seconds(text)


def test_a_duration_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidInput, match="a duration of '0s' leaves no time"):
        seconds("0s")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.05, "50ms"), (2, "2s"), (2.5, "2.5s"), ("1 m", "1m"), (1234567, "1234567s"), (0.0000015, "0.0015ms")],
)
def test_durations_are_stored_as_text(value: float | str, text: str) -> None:
    assert duration(value) == text


@pytest.mark.parametrize("value", [0, -1, True, float("nan"), None])
def test_what_is_no_time_is_not_stored(value: float) -> None:
    with pytest.raises(InvalidInput, match="is no duration"):
        duration(value)
