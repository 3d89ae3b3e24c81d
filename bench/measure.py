"""What a process and its children have used: CPU time and memory, from the kernel's accounts."""

from __future__ import annotations

from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds (user and system, all threads) since start, and resident bytes now."""

    cpu_s: float
    resident: int


def usage(pid: int) -> Usage:
    """Of the process and everything it has started.

    Raises:
        psutil.NoSuchProcess: it has ended.
    """
    root = psutil.Process(pid)
    cpu_s, resident = 0.0, 0
    for process in (root, *root.children(recursive=True)):
        with process.oneshot():
            times = process.cpu_times()
            cpu_s += times.user + times.system
            resident += process.memory_info().rss
    return Usage(cpu_s, resident)
