"""What a test leaves behind: asyncio tasks, file descriptors, child processes, shared memory."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

__all__ = ["Snapshot", "leaked", "snapshot"]

SHARED_MEMORY = Path("/dev/shm")
PATIENCE = 3.0  # seconds that what is being closed may still take
# gRPC keeps its pollers, and the socket pairs that wake them, from one test to the next; a few of each are made late.
POOLED = 8


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What there is at one moment."""

    tasks: frozenset[asyncio.Task[object]]
    descriptors: frozenset[str]  # files, pipes and TCP sockets by what they lead to
    pooled: int  # descriptors of other kinds: event polls, event counters, socket pairs
    processes: frozenset[tuple[int, float]]  # (pid, start time) of all that descend from this process
    regions: frozenset[str]  # shared memory that a process of ours has named after us


def snapshot() -> Snapshot:
    """Take stock, of the running event loop as well where there is one."""
    try:
        tasks = frozenset(asyncio.all_tasks())
    except RuntimeError:
        tasks = frozenset()
    tcp = _tcp_inodes()
    named: set[str] = set()
    pooled = 0
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = os.readlink(entry)
        except FileNotFoundError:
            continue  # the one that lists the folder
        if target.startswith("anon_inode:") or (target.startswith("socket:") and target not in tcp):
            pooled += 1
        else:
            named.add(f"{entry.name} {tcp.get(target, target)}")
    processes = frozenset((child.pid, child.create_time()) for child in _children())
    regions = frozenset(path.name for path in SHARED_MEMORY.glob(f"inferloom-{os.getpid()}-*"))
    return Snapshot(tasks, frozenset(named), pooled, processes, regions)


async def leaked(before: Snapshot, patience: float = PATIENCE) -> str:
    """What is there now and was not `before`, once what closes has had time to; "" where there is nothing."""
    end = time.monotonic() + patience
    while True:
        found = _difference(before, snapshot())
        if not found or time.monotonic() > end:
            return found
        gc.collect()
        await asyncio.sleep(0.05)


def _difference(before: Snapshot, after: Snapshot) -> str:
    current = asyncio.current_task()
    parts = [f"task {task!r}" for task in after.tasks - before.tasks if task is not current and not task.done()]
    parts += [f"descriptor {each}" for each in sorted(after.descriptors - before.descriptors)]
    if after.pooled - before.pooled > POOLED:
        parts.append(f"{after.pooled - before.pooled} event polls or socket pairs more than before")
    parts += [f"process {pid} {_command(pid)}" for pid, _ in sorted(after.processes - before.processes)]
    parts += [f"shared memory {name}" for name in sorted(after.regions - before.regions)]
    return "\n".join(parts)


def _children() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if child.status() != psutil.STATUS_ZOMBIE:
                found.append(child)
        except psutil.NoSuchProcess:
            continue  # it ended while we looked
    return found


def _command(pid: int) -> str:
    try:
        return " ".join(psutil.Process(pid).cmdline())[:200]
    except psutil.NoSuchProcess:
        return "(just ended)"


def _tcp_inodes() -> dict[str, str]:
    """TCP sockets of this network: "socket:[INODE]" -> addresses and state."""
    found = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/self/net/{table}").read_text().splitlines()[1:]:
            columns = line.split()
            found[f"socket:[{columns[9]}]"] = f"{table} {columns[1]} {columns[2]} state {columns[3]}"
    return found
