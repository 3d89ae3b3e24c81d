"""What a command prints is held against what the page shows."""

from __future__ import annotations

import pytest

from tests.docs.printed import agrees

TABLE = """
┏━━━━━━━┳━━━━━━┓
┃ model ┃ rate ┃
┡━━━━━━━╇━━━━━━┩
│ iris  │  9.5 │
└───────┴──────┘
"""


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ("a 1.5 ms\n", "a 12,345.75 ms\n"),
        ("a\nb\n", "a\n\nb  \n"),
        ("...\nb\n", "x\ny\nb\n"),
        ("a\n...\n", "a\n"),
        ("a\n...\nb\n...\n", "a\nx\nb\nb\ny\n"),
        ("...\nb\n", "b\nx\nb\n"),
        ("...\nb\nc\n...\n", "b\nx\nb\nc\n"),
        ("...\n", ""),
        ("at ... ms\n", "at most of them 3 ms\n"),
        ("id 4bf92f3577b34da6\n", "id 00f067aa0ba902b7\n"),
        (TABLE, TABLE.replace("━", "━━").replace("─", "──").replace(" 9.5", "1234.5")),
        ("plain\n", "\x1b[1mplain\x1b[0m\n"),
    ],
)
def test_it_agrees_but_for_numbers_blanks_and_what_dots_stand_for(shown: str, printed: str) -> None:
    assert agrees(shown, printed) == ""


@pytest.mark.parametrize(
    ("shown", "printed", "missing"),
    [
        ("a\nb\n", "b\na\n", "a"),
        ("a\n", "a\nb\n", "nothing after 'a'"),
        ("a\nb\n", "a\n", "b"),
        ("a\n...\nb\n", "a\nb\nc\n", "b"),
        ("...\nb\nc\n...\n", "b\nx\nb\nd\n", "c"),
        ("iris 1\n", "irys 1\n", "iris #"),
        ("", "a\n", "nothing at all"),
    ],
)
def test_the_first_line_that_is_not_there_is_named(shown: str, printed: str, missing: str) -> None:
    assert agrees(shown, printed) == missing


def test_more_may_follow_what_stays() -> None:
    assert agrees("ready\n", "ready\nmore\n", more=True) == ""
