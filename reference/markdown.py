"""Tables and text of generated pages, as GitHub and the site both read them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

__all__ = ["Undescribed", "cell", "code", "described", "sentence", "table"]

_QUOTED = re.compile(r"(`[^`]*`)")


class Undescribed(LookupError):
    """Something that the reference lists, and that nobody has described."""


def described(text: str | None, what: str) -> str:
    """The text. Raises Undescribed where there is none."""
    if not text or not text.strip():
        raise Undescribed(f"{what} has no description")
    return " ".join(text.split())


def code(text: object) -> str:
    """As code; empty text stays empty."""
    return f"`{text}`" if str(text) else ""


def sentence(text: str) -> str:
    """A comment of the code as a sentence. What begins with three dots goes on from the row above it."""
    ends = text if not text or text.endswith((".", ",", ":")) else f"{text}."
    begins = ends[:1] if ends[1:2].isupper() else ends[:1].upper()  # gRPC
    return begins + ends[1:]


def cell(text: str) -> str:
    """Text for a cell: a pipe would end it, even in code, and `<x>` outside of code would be HTML."""
    return "".join(_part(part) for part in _QUOTED.split(text))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table that ends in a line break; a column in which nothing stands is left out."""
    body = [[cell(text) for text in row] for row in rows]
    kept = [number for number in range(len(head)) if any(row[number] for row in body)]
    lines = [[head[number] for number in kept], *([row[number] for number in kept] for row in body)]
    drawn = ["|" + "".join(f" {text} |" if text else " |" for text in line) + "\n" for line in lines]
    return drawn[0] + "|" + "---|" * len(kept) + "\n" + "".join(drawn[1:])


def _part(text: str) -> str:
    if text.startswith("`") and "|" not in text:
        return text
    plain = text.replace("<", "&lt;").replace("|", "&#124;")
    return f"<code>{plain.strip('`')}</code>" if text.startswith("`") else plain
