"""Where a node's input comes from, and how long something may take: the two small languages of a graph."""

from __future__ import annotations

import re
from typing import NamedTuple

from inferloom.mesh.errors import InvalidInput

__all__ = ["INPUT", "Reference", "is_name", "seconds"]

INPUT = "input"  # stands for the pipeline itself: "input.png"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class Reference(NamedTuple):
    """An output of a node, or an input of the pipeline. `output` "": the node's only one."""

    node: str
    output: str = ""

    @staticmethod
    def parse(text: str) -> Reference:
        """Raises InvalidInput where it is none; the message says what one looks like."""
        node, dot, output = text.partition(".")
        if not _NAME.fullmatch(node) or (dot and not output) or (node == INPUT and not output):
            raise InvalidInput(f"{text!r} is no reference; one is input.NAME, NODE.OUTPUT or NODE (its only output)")
        return Reference(node, output)

    @property
    def is_input(self) -> bool:
        return self.node == INPUT

    def __str__(self) -> str:
        return f"{self.node}.{self.output}" if self.output else self.node


def is_name(text: str) -> bool:
    """Whether a node may be called so: letters, digits, _ and -, not a digit first; `input` is the pipeline."""
    return bool(_NAME.fullmatch(text)) and text != INPUT


def seconds(text: str) -> float:
    """ "50ms", "2s", "1.5m", "1h" in seconds. InvalidInput where it is something else, or zero."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise InvalidInput(f"{text!r} is no duration; write a number and ms, s, m or h: 50ms, 2s, 1m")
    value = float(match[1]) * _UNITS[match[2]]
    if value <= 0:
        raise InvalidInput(
            f"a duration of {text!r} leaves no time; write more than 0, or nothing for no bound of its own"
        )
    return value
