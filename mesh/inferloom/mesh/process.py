"""Child processes that never outlive their parent.

Two things see to that, however the parent ends. The kernel kills the child (`PR_SET_PDEATHSIG`): the child goes through
`setpriv` of util-linux, else through a few lines of Python; never through `preexec_fn`, which would run Python between
fork and exec in a process that holds gRPC's threads. And what the child has started itself (Triton's Python stubs would
live on for more than 5 s) is in the child's process group, which a guard kills: a shell that waits for the end of a pipe
whose other end only the parent holds.

The kernel watches the *thread* that started the child: start children from a thread that lives as long as they shall.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import BinaryIO

from inferloom.mesh.errors import ConfigError

__all__ = ["Child", "guarded", "start"]

SHELL = "/bin/sh"  # without one (a container with nothing in it) what a child has started may outlive a SIGKILL
HEAD, TAIL = 10, 40  # lines of output kept for error messages
LIBPYTHON = re.compile(r"(libpython3\.\d+)(?:[dm]?\.so\S*)?: cannot open shared object file")
# Kill me with my parent; and if that has already gone, do not start.
PRCTL = (
    "import ctypes,os,sys;"
    "ctypes.CDLL(None,use_errno=True).prctl(1,9,0,0,0)==0 or sys.exit('prctl failed');"
    "os.getppid()==int(sys.argv[1]) or sys.exit('parent has ended');"
    "os.execvp(sys.argv[2],sys.argv[2:])"
)


class _Guard:
    """Kills a process group when this process has ended."""

    def __init__(self, group: int) -> None:
        script = f"read -r _; kill -s KILL -- -{group} 2>/dev/null"
        # Of a session of its own: the Ctrl-C of a terminal is not for it.
        self._shell = subprocess.Popen(
            [SHELL, "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def close(self) -> None:
        self._shell.kill()
        self._shell.communicate()


class Child:
    """A running (or ended) child process and the last lines it wrote."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, output: _Output) -> None:
        self.name = name
        self.pid = process.pid
        self._process = process
        self._output = output
        self._guard = _Guard(process.pid) if Path(SHELL).exists() else None
        self._reaper = asyncio.create_task(self._reap(), name=f"reap {name}")

    def __repr__(self) -> str:
        state = "running" if self.returncode is None else f"ended with {self.returncode}"
        return f"<Child {self.name} pid={self.pid} {state}>"

    @property
    def returncode(self) -> int | None:
        """None while it runs; minus the signal's number where a signal ended it."""
        return self._process.returncode

    @property
    def head(self) -> list[str]:
        """The first lines it wrote: what a program says of a wrong option, before it prints all of them."""
        return list(self._output.head)

    @property
    def tail(self) -> list[str]:
        """The last lines it wrote to stdout or stderr."""
        return list(self._output.tail)

    async def wait(self) -> int:
        """Its exit code, once it and the whole of its process group have ended."""
        return await asyncio.shield(self._reaper)

    async def stop(self, grace: float = 5.0) -> int:
        """End it and all that it has started: SIGTERM, and SIGKILL after `grace` seconds. Idempotent."""
        if self.returncode is None:
            self.signal(signal.SIGTERM)
            try:
                return await asyncio.wait_for(self.wait(), grace)
            except TimeoutError:
                _kill_group(self.pid)
        return await self.wait()

    def signal(self, number: int) -> None:
        """Send a signal to the process alone; nothing happens where it has ended."""
        if self.returncode is None:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return

    def why(self) -> str:
        """One line that says how it ended, with the cure where it is known."""
        return explain(self.name, self.returncode, self.tail)

    async def _reap(self) -> int:
        code = await self._process.wait()
        _kill_group(self.pid)  # what it left behind
        if self._guard is not None:
            self._guard.close()
        self._output.close()
        return code


class _Output:
    """Reads a pipe without blocking; does not wait for its end, since grandchildren may hold it open."""

    def __init__(self, fd: int, log: BinaryIO | None, on_line: Callable[[str], None] | None) -> None:
        self.head: list[str] = []
        self.tail: deque[str] = deque(maxlen=TAIL)
        self._fd = fd
        self._log = log
        self._on_line = on_line
        self._rest = b""
        os.set_blocking(fd, False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(fd, self.read)

    def read(self) -> bool:
        """Take what there is; False at the end or where there is nothing now."""
        try:
            data = os.read(self._fd, 65536)
        except BlockingIOError:
            return False
        if not data:
            self._loop.remove_reader(self._fd)
            return False
        if self._log is not None:
            try:
                self._log.write(data)
            except OSError:  # a full disk must not keep what it says from being read
                self._log.close()
                self._log = None
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(line)
        return True

    def _take(self, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip()
        self.tail.append(text)
        if len(self.head) < HEAD:
            self.head.append(text)
        if self._on_line is not None:
            self._on_line(text)

    def close(self) -> None:
        while self.read():
            pass
        if self._rest:
            self._take(self._rest)
        self._loop.remove_reader(self._fd)
        os.close(self._fd)
        if self._log is not None:
            self._log.close()


@cache
def _setpriv() -> str | None:
    return shutil.which("setpriv")


def guarded(argv: Sequence[str], *, setpriv: str | None, platform: str = sys.platform) -> list[str]:
    """The command line that runs `argv` so that it is killed when its parent ends."""
    if not platform.startswith("linux"):
        return list(argv)
    if setpriv is not None:
        return [setpriv, "--pdeathsig", "KILL", "--", *argv]
    return [sys.executable, "-S", "-E", "-c", PRCTL, str(os.getpid()), *argv]


async def start(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    name: str = "",
    cwd: Path | None = None,
    log_path: Path | None = None,
    on_line: Callable[[str], None] | None = None,
) -> Child:
    """Start a child process.

    Args:
        env: its whole environment; None: this process's.
        name: what error messages call it; the program's name by default.
        log_path: a file its output is appended to.
        on_line: called in the event loop with each line of its output.

    Raises:
        ConfigError: there is no such program, or the log cannot be written.
    """
    name = name or Path(argv[0]).name
    if shutil.which(argv[0], path=(env or os.environ).get("PATH")) is None:
        raise ConfigError(f"{name}: no program {argv[0]!r}: install it, or add its folder to PATH")
    try:
        log = log_path.open("ab", buffering=0) if log_path is not None else None
    except OSError as error:
        raise ConfigError(f"{name}: its log {log_path} cannot be written: {error.strerror}") from error
    ours, theirs = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            *guarded(argv, setpriv=_setpriv()),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            env=env,
            cwd=cwd,
            start_new_session=True,
        )
    except BaseException:
        os.close(ours)
        if log is not None:
            log.close()
        raise
    finally:
        os.close(theirs)
    return Child(name, process, _Output(ours, log, on_line))


def explain(name: str, code: int | None, tail: Sequence[str]) -> str:
    """One line about a process that ended, or runs and does not answer, from its exit code and last lines."""
    for line in reversed(tail):
        if missing := LIBPYTHON.search(line):
            package = missing[1]
            return f"{name}: the shared library {package} is missing: apt install {package}"
    last = next((line for line in reversed(tail) if line.strip()), "")
    said = f": {last.strip()[:300]}" if last else ""
    if code is None:
        return f"{name} does not answer{said}"
    if code in (-signal.SIGKILL, -signal.SIGTERM):
        return f"{name} was ended by {_signal_name(-code)}"  # from outside: its last line has nothing to do with it
    if code < 0:
        return f"{name} was ended by {_signal_name(-code)}{said}"
    return f"{name} ended with code {code}{said}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return  # nobody is left in it (macOS says so with EPERM)
