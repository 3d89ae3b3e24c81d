"""Standard error that may fail: what a process serves matters more than what it says."""

from __future__ import annotations

import io
import sys

__all__ = ["forgive"]


class _Forgiving(io.TextIOWrapper):
    """Text that cannot be written (the disk is full, the reader of the pipe has gone) is lost, and nothing else."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError:
            return


def forgive() -> None:
    """Have `sys.stderr` lose lines rather than raise."""
    old = sys.stderr
    if isinstance(old, io.TextIOWrapper):
        sys.stderr = _Forgiving(
            io.FileIO(old.fileno(), "w", closefd=False),
            encoding=old.encoding,
            errors=old.errors,
            line_buffering=True,  # whole lines, where several processes share it
        )
