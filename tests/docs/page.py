"""A documentation page as blocks with their marks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.docs.marks import Mark, PageError, read_mark

__all__ = ["Block", "Page", "read_page"]

TITLE = re.compile(r'title="([^"]+)"')
NOT_WRITTEN = frozenset({"fragment", "needs"})
FRONT = re.compile(r"---\n.*?\n---\n", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block."""

    language: str
    title: str  # the file it is; "": none
    text: str
    line: int  # of its first line inside the fence, from 1
    marks: tuple[Mark, ...] = ()
    prints: str | None = None  # the text block after it: what it prints
    prints_line: int = 0

    def mark(self, word: str) -> Mark | None:
        return next((mark for mark in self.marks if mark.word == word), None)

    @property
    def kind(self) -> str:
        """`file`, `sh` and `python` are what the runner does something with; "": only to be read."""
        if self.mark("fragment"):
            return ""
        if self.title:
            return "file"
        return self.language if self.language in ("sh", "python") else ""

    @property
    def runs(self) -> bool:
        """Whether the runner writes or runs it."""
        return bool(self.kind) and not any(self.mark(word) for word in ("needs", "tested"))


@dataclass(frozen=True, slots=True)
class Page:
    path: Path
    blocks: tuple[Block, ...]
    given: tuple[Mark, ...]
    links: tuple[str, ...] = ()  # to files, relative to the page; without what follows a #


def read_page(path: Path, text: str | None = None) -> Page:
    """Parse it.

    Args:
        text: of the page; None: what the file holds.

    Raises:
        PageError: a comment is no mark, a mark stands before no block, or a language is not used any more.
    """
    text = path.read_text() if text is None else text
    front = FRONT.match(text)
    if front:  # keep the lines' numbers
        text = "\n" * front[0].count("\n") + text[front.end() :]
    blocks: list[Block] = []
    given: list[Mark] = []
    waiting: list[Mark] = []
    after_block = False
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    for token in tokens:
        line = token.map[0] + 1 if token.map else 0
        if token.type == "html_block" and token.content.lstrip().startswith("<!--"):
            for comment in re.findall(r"<!--.*?-->", token.content, re.DOTALL):
                mark = read_mark(path, line, comment)
                (given if mark.anywhere else waiting).append(mark)
            after_block = False
            continue
        if token.type == "fence":
            block = _block(path, token.info, token.content, line + 1, tuple(waiting))
            waiting = []
            if block.language == "text" and not block.title and not block.marks and after_block:
                last = blocks.pop()
                block = Block(
                    last.language, last.title, last.text, last.line, last.marks, prints=block.text, prints_line=line + 1
                )
            blocks.append(block)
            after_block = block.kind in ("sh", "python") and block.prints is None
            continue
        if waiting and not token.type.endswith("_close"):
            raise PageError(path, waiting[0].line, f"the mark `{waiting[0].word}` stands before no block")
        if token.type == "code_block":
            raise PageError(path, line, "an indented block: commands stand in ```sh, other text in ```text")
        if token.type != "inline" and not token.type.endswith("_close"):
            after_block = False
    if waiting:
        raise PageError(path, waiting[0].line, f"the mark `{waiting[0].word}` stands before no block")
    return Page(path, tuple(blocks), tuple(given), tuple(_links(tokens)))


def _links(tokens: Iterable[Token]) -> Iterator[str]:
    for token in tokens:
        target = str(token.attrGet("href") or token.attrGet("src") or "").partition("#")[0]
        if target and not re.match(r"[a-z]+:", target):
            yield target
        yield from _links(token.children or ())


def _block(path: Path, info: str, text: str, line: int, marks: tuple[Mark, ...]) -> Block:
    language = info.split(maxsplit=1)[0] if info.strip() else ""
    if language in ("console", "bash", "shell"):
        raise PageError(
            path, line - 1, f"```{language}: commands stand in ```sh, without prompts, what they print in ```text"
        )
    title = TITLE.search(info)
    return Block(language, title[1] if title else "", text, line, marks)
