"""Tells when files have changed, by looking at their times and sizes off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from inferloom.mesh.clock import SYSTEM, Clock

__all__ = ["Files", "next_change"]

EVERY = 0.2  # seconds between two looks; also how long files must be quiet: an editor may write one in several steps

Stamp = tuple[int, int] | None  # modified (nanoseconds), size; None: there is no such file
Stamps = Mapping[Path, Stamp]


class Files:
    """What the files were like when last looked at."""

    def __init__(self, files: Iterable[Path]) -> None:
        self._stamps = stamps(files)

    def see(self, files: Iterable[Path]) -> None:
        """Take up files that are new here, as they are now."""
        self._stamps = {**stamps(file for file in files if file not in self._stamps), **self._stamps}

    def changed(self, files: Iterable[Path]) -> bool:
        """Whether any is different from the last look, or is new. A file that has gone is no change: it is being saved."""
        now = stamps(files)
        before, self._stamps = self._stamps, {**self._stamps, **{f: s for f, s in now.items() if s is not None}}
        return any(stamp is not None and before.get(file) != stamp for file, stamp in now.items())


def stamps(files: Iterable[Path]) -> Stamps:
    """What each file is like now."""
    found: dict[Path, Stamp] = {}
    for file in files:
        try:
            status = file.stat()
        except OSError:
            found[file] = None
        else:
            found[file] = (status.st_mtime_ns, status.st_size)
    return found


async def next_change(known: Files, files: Callable[[], Iterable[Path]], clock: Clock = SYSTEM) -> None:
    """Return once a file has changed and then was quiet for one look.

    Args:
        files: those to watch, asked anew at each look.
    """
    seen = False
    while True:
        await clock.sleep(EVERY)
        changed = await asyncio.to_thread(known.changed, list(files()))
        if seen and not changed:
            return
        seen = seen or changed
