"""What a comment before a block of a page may say."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

__all__ = ["NEEDS", "Mark", "PageError", "read_mark"]

NEEDS = frozenset({"cluster", "gpu", "docker", "package index", "jaeger", "go", "java", "hours", "clone"})
WITH_TEXT = frozenset({"given", "needs", "tested", "policy"})  # policy: read by tests/integration/test_consul_access.py
ALONE = frozenset({"fails", "fragment", "eventually"})
ANYWHERE = frozenset({"given"})  # the others stand on the line before a block
COMMENT = re.compile(r"<!--\s*([^:]*?)\s*(?::\s*(.*?)\s*)?-->", re.DOTALL)


class PageError(Exception):
    """A page that is not as it should be: file, line and what is wrong."""

    def __init__(self, path: Path, line: int, what: str) -> None:
        super().__init__(f"{path}:{line}: {what}")


@dataclass(frozen=True, slots=True)
class Mark:
    """One comment."""

    word: str
    text: str  # after the colon; "": none
    line: int

    @property
    def anywhere(self) -> bool:
        """Whether it may stand without a block after it."""
        return self.word in ANYWHERE


def read_mark(path: Path, line: int, comment: str) -> Mark:
    """The mark that an HTML comment is.

    Raises:
        PageError: its word is not one of the known ones, or what it needs is not.
    """
    match = COMMENT.fullmatch(comment.strip())
    word, text = (match[1], match[2] or "") if match else (comment.strip(), "")
    if match is None or word not in WITH_TEXT | ALONE or bool(text) != (word in WITH_TEXT):
        known = ", ".join([*(f"{each}: ..." for each in sorted(WITH_TEXT)), *sorted(ALONE)])
        raise PageError(path, line, f"{comment.strip()!r} is no mark: {known}")
    if word == "needs" and text not in NEEDS:
        raise PageError(path, line, f"needs: {text!r} is none of {', '.join(sorted(NEEDS))}")
    return Mark(word, text, line)
