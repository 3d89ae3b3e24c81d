"""SIGINT and SIGTERM as an event: the first asks to drain, the second ends at once."""

from __future__ import annotations

import asyncio
import os
import signal

__all__ = ["stop_requested"]


def stop_requested() -> asyncio.Event:
    """An event that the first SIGINT or SIGTERM sets. After it these signals end the process as they usually do."""
    loop = asyncio.get_running_loop()
    event = asyncio.Event()

    def ask() -> None:
        if event.is_set():
            os._exit(130)
        event.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ask)
    return event
