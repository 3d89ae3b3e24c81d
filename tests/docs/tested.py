"""A block that a test elsewhere runs."""

from __future__ import annotations

from pathlib import Path

from tests.docs.commands import commands
from tests.docs.given import ROOT
from tests.docs.marks import PageError
from tests.docs.page import Block

__all__ = ["check_tested"]


def check_tested(path: Path, block: Block) -> None:
    """Hold a block to the test that is named for it.

    Raises:
        PageError: there is no such test, or a word of the commands is not in it.
    """
    mark = block.mark("tested")
    assert mark is not None
    test = ROOT / mark.text
    if not test.is_file():
        raise PageError(path, mark.line, f"tested: there is no {mark.text}")
    text = test.read_text()
    missing = [word for command in commands(block.text, block.line) for word in command.words if word not in text]
    if missing:
        raise PageError(path, block.line, f"tested: {mark.text} does not have {', '.join(missing)}")
