"""Keys pressed in the terminal, without Enter."""

from __future__ import annotations

import asyncio
import os
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["pressed"]


@contextmanager
def pressed(key: str) -> Iterator[asyncio.Event]:
    """An event that is set when the key is pressed; never where stdin is no terminal. Ctrl-C stays what it is."""
    event = asyncio.Event()
    if not sys.stdin.isatty():
        yield event
        return
    place, loop = sys.stdin.fileno(), asyncio.get_running_loop()
    before = termios.tcgetattr(place)

    def read() -> None:
        typed = os.read(place, 64)
        if not typed or key.encode() in typed:
            event.set()
            loop.remove_reader(place)

    tty.setcbreak(place)
    loop.add_reader(place, read)
    try:
        yield event
    finally:
        loop.remove_reader(place)
        termios.tcsetattr(place, termios.TCSADRAIN, before)
