"""Ends a process whose event loop hangs, so that its supervisor starts another.

Users' code runs in the loop: a loop without end, or a call that blocks, stops every answer of the process, and nothing in
the loop can tell. So a thread looks whether the loop still ticks.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
import threading
import traceback
from collections.abc import Callable
from types import FrameType

import structlog

__all__ = ["REPLACE_ME", "Beat", "Watchdog"]

log = structlog.get_logger(__name__)

REPLACE_ME = 70  # exit status of a process that ends itself in order to be started again (EX_SOFTWARE of sysexits.h)
LOOKS = 20  # within the time after which a loop is hung


class Beat:
    """Counts looks during which the loop did not tick. No I/O.

    It counts looks, not seconds: after a pause of the whole process (SIGSTOP, a laptop that slept) the first look finds
    no tick either, and that says nothing about the loop.
    """

    def __init__(self, looks: int) -> None:
        self._looks = looks
        self._seen = -1
        self._missed = 0

    def look(self, ticks: int) -> bool:
        """Whether the loop hangs, given how often it has ticked so far."""
        self._missed = self._missed + 1 if ticks == self._seen else 0
        self._seen = ticks
        return self._missed >= self._looks


class Watchdog:
    """Watches the loop it is started in.

    Args:
        hang: seconds without a tick after which the process is ended; 0: never.
        end: ends the process.
    """

    def __init__(self, hang: float, end: Callable[[int], object] = os._exit) -> None:
        self._hang = hang
        self._end = end
        self._ticks = 0
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        if self._hang <= 0:
            return
        self._loop = asyncio.get_running_loop()
        self._watched = threading.get_ident()
        self._tick()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._timer is not None:
            self._timer.cancel()
        if self._thread is not None:
            self._thread.join()

    def _tick(self) -> None:
        self._ticks += 1
        self._timer = self._loop.call_later(self._hang / LOOKS / 2, self._tick)

    def _watch(self) -> None:
        beat = Beat(LOOKS)
        while not self._stopped.wait(self._hang / LOOKS):
            if beat.look(self._ticks):
                stack = stack_of(self._watched)
                log.error("the event loop hangs: this process ends, to be started again", after=self._hang, stack=stack)
                sys.stderr.flush()
                self._end(REPLACE_ME)
                return


def stack_of(thread: int) -> str:
    """Where a thread is now, from the users' own frames on; "" where it has ended."""
    frame = sys._current_frames().get(thread)
    if frame is None:
        return ""
    frames = list(traceback.walk_stack(frame))  # the innermost first
    users = list(itertools.takewhile(lambda each: not _is_ours(each[0]), frames))
    summary = traceback.StackSummary.extract(iter(users if 0 < len(users) < len(frames) else frames))
    summary.reverse()
    return "".join(summary.format()).rstrip()


def _is_ours(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).startswith("inferloom.")
