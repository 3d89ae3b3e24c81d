"""A network and a process table of its own for the comparison.

Ray Serve's servers listen on all interfaces, and its HAProxy outlives it. In namespaces of their own nothing outside
reaches the former, and the latter ends with everything else.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import struct
import sys
from collections.abc import Sequence

__all__ = ["INSIDE", "enter", "raise_loopback"]

INSIDE = "INFERLOOM_BENCH_INSIDE"
_SIOCSIFFLAGS = 0x8914
_UP_LOOPBACK_RUNNING = 0x1 | 0x8 | 0x40


def enter(module: str, arguments: Sequence[str]) -> None:
    """Run `python -m MODULE ARGUMENTS` in place of this process, inside.

    Raises:
        RuntimeError: there is no `unshare` (package util-linux).
    """
    unshare = shutil.which("unshare")
    if unshare is None:
        raise RuntimeError("there is no `unshare`: apt install util-linux")
    argv = [unshare, "--user", "--map-root-user", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]
    os.environ[INSIDE] = "1"
    sys.stdout.flush()
    os.execv(unshare, [*argv, sys.executable, "-m", module, *arguments])


def raise_loopback() -> None:
    """The new network has a loopback that is down."""
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh", b"lo", _UP_LOOPBACK_RUNNING))
