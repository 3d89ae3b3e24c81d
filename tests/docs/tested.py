"""A block that a test elsewhere runs."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.docs.commands import commands
from tests.docs.given import ROOT
from tests.docs.marks import PageError
from tests.docs.page import Block

__all__ = ["check_tested"]

OURS = "inferloom"  # helpers of the tests start it by themselves: `home.up("iris.onnx")`


def check_tested(path: Path, block: Block) -> None:
    """Hold a block to the test that is named for it.

    Each command's words stand in the test in this order, in one statement or one text; in a file that is not Python in one
    line. Docstrings and comments do not count.

    Raises:
        PageError: there is no such test, or a command is not in it.
    """
    mark = block.mark("tested")
    assert mark is not None
    test = ROOT / mark.text
    if not test.is_file():
        raise PageError(path, mark.line, f"tested: there is no {mark.text}")
    text = test.read_text()
    places = list(_places(ast.parse(text), text)) if test.suffix == ".py" else text.splitlines()
    for command in commands(block.text, block.line):
        words = command.words[1:] if command.words[:1] == [OURS] else command.words
        if not words or not any(_holds(place, words) for place in places):
            raise PageError(path, block.line, f"tested: {mark.text} does not have `{command.bare}`")


def _places(tree: ast.Module, text: str) -> Iterator[str]:
    """Every statement without its body, and every text."""
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    lines = text.splitlines()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value
        elif isinstance(node, ast.stmt) and not _is_text(node):
            body: Sequence[ast.stmt] = getattr(node, "body", ())
            end = max(node.lineno, body[0].lineno - 1) if body else node.end_lineno
            yield "\n".join(line.partition("  # ")[0] for line in lines[node.lineno - 1 : end])


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _holds(place: str, words: Sequence[str]) -> bool:
    """Whether the words are in it, each whole, one after another."""
    return bool(
        re.search(".*?".join(rf"(?<![\w-]){re.escape(word)}(?![\w-]|\.\w)" for word in words), place, re.DOTALL)
    )
