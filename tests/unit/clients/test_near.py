"""Names that look like a mistyped one."""

from __future__ import annotations

import pytest

from inferloom.clients.near import nearest


@pytest.mark.parametrize(
    ("name", "known", "found"),
    [
        ("pgn", ["png", "text"], "png"),
        ("PIXELS", ["pixels"], "pixels"),
        ("probs", ["Probabilities", "label"], ""),
        ("lable", ["Label", "labels"], "Label"),
        ("decode", ["chosen", "input"], ""),
        ("", ["x"], ""),
        ("x", [], ""),
    ],
)
def test_a_near_name_is_one_that_somebody_may_have_meant(name: str, known: list[str], found: str) -> None:
    assert nearest(name, known) == found
