from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferloom.mesh.durations import duration_text, seconds_of
from inferloom.mesh.errors import InvalidInput


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("50ms", 0.05), ("2s", 2.0), ("1.5m", 90.0), ("1h", 3600.0), (" 2 s ", 2.0), ("0s", 0.0), ("0ms", 0.0)],
)
def test_a_duration_is_a_number_and_a_unit(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "s", "-1s", "1e3s", "2 weeks", "1s2s", "٢s", "9" * 400 + "s", "1000000001s"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        seconds_of(text)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.05, "50ms"), (2.0, "2s"), (0.0, "0s"), (1.5, "1.5s"), (600.0, "600s")]
)
def test_the_text_is_short(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@given(st.floats(1e-9, 1e9))
def test_no_digit_is_lost(seconds: float) -> None:
    assert seconds_of(duration_text(seconds)) == seconds
