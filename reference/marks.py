"""A hook of mkdocs: the marks in comments, which tell the tests what to do with a block, are no part of the page.

`<!-- needs: cluster -->` becomes a line that says so; the others go. GitHub shows no comments, so pages read the same there.
A link that is called `models.md` is called `models`: the site has no such file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from mkdocs.exceptions import PluginError

__all__ = ["MARKS", "NEEDS", "on_page_markdown", "shown"]

MARKS = frozenset({"needs", "given", "fails", "fragment", "tested", "eventually", "policy"})  # as tests/docs/marks.py
COMMENTS = re.compile(r"(?P<indent>[ \t]*)(?:<!--.*?-->\s*)+")  # a whole line
MARK = re.compile(r"<!--\s*(?P<word>[^:]*?)\s*(?::\s*(?P<text>.*?)\s*)?-->")
LINK = re.compile(r"\[(?P<name>[\w-]+)\.md\](?=\()")  # its text is the file's name, as it reads well on GitHub
FENCE = re.compile(r"^\s*(?P<fence>`{3,}|~{3,})")
NEEDS = {
    "cluster": "Needs a cluster",
    "gpu": "Needs a GPU",
    "docker": "Needs Docker",
    "package index": "Needs a package index",
    "jaeger": "Needs Jaeger",
    "go": "Needs Go",
    "java": "Needs Java",
    "hours": "Takes hours",
    "clone": "Needs a clone of the repository",
}


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Called by mkdocs with each page."""
    try:
        return shown(markdown)
    except KeyError as error:
        raise PluginError(f"{page.file.src_uri}: a block needs {error}, which is none of {', '.join(NEEDS)}") from None


def shown(markdown: str) -> str:
    """The page without its marks. Raises KeyError, of the need, where one is not known."""
    return "\n".join(_lines(markdown.splitlines())) + "\n"


def _lines(lines: list[str]) -> Iterator[str]:
    fence = ""
    for line in lines:
        if found := FENCE.match(line):
            if not fence:
                fence = found["fence"]
            elif line.strip().startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
        comments = None if fence else COMMENTS.fullmatch(line)
        marks = {mark["word"]: mark["text"] for mark in MARK.finditer(line)} if comments else {}
        if comments is None or not marks.keys() <= MARKS:
            yield line if fence else LINK.sub(r"[\g<name>]", line)
        elif "needs" in marks:
            need, indent = NEEDS[marks["needs"]], comments["indent"]
            yield from ("", f"{indent}{need}: not run by the tests.", f"{indent}{{: .needs }}", "")
        else:
            yield ""
