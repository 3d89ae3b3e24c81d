"""The `inferloom` command as real processes, in a home of its own: state, temporary files and current folder.

Every process started from a home carries the home's name in its environment, and so do their children: what is left
running of it is found, whatever it is and whoever its parent is now.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

__all__ = ["DATA", "Done", "Home", "Up", "wait_for"]

DATA = Path(__file__).parents[1] / "data" / "models"
COMMAND = (sys.executable, "-m", "inferloom.cli")
VARIABLE = "INFERLOOM_STATE"
STRANGE = ("INFERLOOM_MESH", "INFERLOOM_TOKEN", "INFERLOOM_LOG", "CONSUL_HTTP_ADDR", "CONSUL_HTTP_TOKEN")
START = 90.0  # seconds until a mesh must be ready: a cold disk and two busy cores included
SHARED_MEMORY = Path("/dev/shm")
NOT_OURS = (".ses",)  # ONNX Runtime keeps its telemetry's session there


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """What it wrote to stderr, without progress lines before it."""
        return self.err.strip().rpartition("inferloom: ")[2]

    def __str__(self) -> str:
        return f"exit status {self.status}\n--- stdout\n{self.out}--- stderr\n{self.err}"


class Home:
    """Where commands run: a folder with `state`, `tmp` and the current folder `here`."""

    def __init__(self, folder: Path, command: Sequence[str] = COMMAND) -> None:
        self.state, self.tmp, self.here = folder / "state", folder / "tmp", folder / "here"
        for path in (self.state, self.tmp, self.here):
            path.mkdir(parents=True)
        self.command = list(command)
        self._seen: set[int] = set()  # process ids

    def environment(self) -> dict[str, str]:
        """Of every command."""
        kept = {key: value for key, value in os.environ.items() if key not in STRANGE}
        return {
            **kept,
            "PATH": f"{Path(self.command[0]).parent}{os.pathsep}{os.environ['PATH']}",
            "TMPDIR": str(self.tmp),
            "COLUMNS": "400",
            VARIABLE: str(self.state),
        }

    def run(self, *arguments: str | Path, timeout: float = 60.0, environ: Mapping[str, str] = {}) -> Done:
        """`inferloom ARGUMENTS`, to its end."""
        return self._run([*self.command, *map(str, arguments)], timeout, environ)

    def shell(self, line: str, timeout: float = 60.0, environ: Mapping[str, str] = {}) -> Done:
        """A line as a person pastes it into a shell."""
        return self._run(["/bin/sh", "-c", line], timeout, environ)

    def _run(self, command: list[str], timeout: float, environ: Mapping[str, str]) -> Done:
        done = subprocess.run(
            command,
            cwd=self.here,
            env=self.environment() | dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    @contextmanager
    def up(self, *arguments: str | Path, wait: bool = True, environ: Mapping[str, str] = {}) -> Iterator[Up]:
        """`inferloom up ARGUMENTS` on a free port (unless --grpc is among them), once it is ready; ended afterwards.

        Args:
            wait: until it is ready.
        """
        given = [*map(str, arguments)]
        address = [] if "--grpc" in given else ["--grpc", "127.0.0.1:0"]
        log = self.state / f"up-{time.monotonic_ns()}"
        with log.with_suffix(".out").open("wb") as out, log.with_suffix(".err").open("wb") as err:
            process = subprocess.Popen(
                [*self.command, "up", *given, *address],
                cwd=self.here,
                env=self.environment() | dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
        it = Up(self, process, log)
        try:
            if wait:
                it.ready()
            yield it
        finally:
            it.stop(signal.SIGTERM)

    def processes(self) -> list[psutil.Process]:
        """All that runs of this home, the commands themselves, their children and orphans."""
        found = [process for process in psutil.process_iter() if self._is_mine(process)]
        self._seen.update(process.pid for process in found)
        return found

    def named(self, *words: str) -> list[psutil.Process]:
        """Those of its processes whose command line has all the words."""
        return [process for process in self.processes() if all(word in _command_line(process) for word in words)]

    def leftovers(self, *, running: bool = False) -> list[str]:
        """Processes, temporary files and shared memory that are still there.

        Args:
            running: processes alone.
        """
        left = [f"process {process.pid}: {_command_line(process)[:200]}" for process in self.processes()]
        if running:
            return left
        left += [f"temporary {path.name}" for path in self.tmp.iterdir() if path.name not in NOT_OURS]
        left += [f"in the current folder: {path.name}" for path in self.here.iterdir()]
        for path in SHARED_MEMORY.glob("inferloom-*"):
            match = re.match(r"inferloom-(\d+)-", path.name)
            if match and int(match[1]) in self._seen:
                left.append(f"shared memory {path.name}")
        return left

    def _is_mine(self, process: psutil.Process) -> bool:
        try:
            alive = process.status() != psutil.STATUS_ZOMBIE
            return alive and bool(process.environ().get(VARIABLE) == str(self.state))
        except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
            return False


class Up:
    """A running `inferloom up`."""

    def __init__(self, home: Home, process: subprocess.Popen[bytes], log: Path) -> None:
        self.home = home
        self.process = process
        self._log = log
        self.address = self.admin = self.http = ""

    @property
    def out(self) -> str:
        return self._log.with_suffix(".out").read_text()

    @property
    def err(self) -> str:
        return self._log.with_suffix(".err").read_text()

    @property
    def paste(self) -> list[str]:
        """The lines it printed to be pasted, in order."""
        return re.findall(r"^  (inferloom infer .*)$", self.out, re.MULTILINE)

    @property
    def curl(self) -> list[str]:
        """The requests it printed to be pasted, in order."""
        return re.findall(r"^  (curl .*)$", self.out, re.MULTILINE)

    def ready(self, timeout: float = START) -> None:
        """Wait for the ready line and all that follows it."""
        wait_for(lambda: "Ctrl-C" in self.out or self.process.poll() is not None, timeout, lambda: str(self.done()))
        match = re.search(r"^ready grpc=(\S+) admin=(\S+)(?: http=(\S+))?$", self.out, re.MULTILINE)
        assert match is not None, str(self.done())
        self.address, self.admin, self.http = match[1], match[2], match[3] or ""
        self.home.processes()

    def done(self) -> Done:
        return Done(self.process.poll() or 0, self.out, self.err)

    def run(self, *arguments: str | Path, timeout: float = 60.0) -> Done:
        """`inferloom ARGUMENTS` for this mesh."""
        return self.home.run(*arguments, "--mesh", self.address, timeout=timeout)

    def models(self) -> list[dict[str, Any]]:
        """What `inferloom models --json` tells."""
        done = self.run("models", "--json")
        assert done.status == 0, str(done)
        return list(json.loads(done.out)["models"])

    def replicas(self, model: str) -> list[dict[str, Any]]:
        """A model's replicas among them; none where the model is not there."""
        return [replica for entry in self.models() if entry["name"] == model for replica in entry["replicas"]]

    def stop(self, number: int = signal.SIGINT, timeout: float = 40.0) -> int:
        """Send the signal and wait for its end; the exit status."""
        if self.process.poll() is None:
            self.home.processes()
            self.process.send_signal(number)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"it did not end within {timeout:.0f} s of signal {number}\n{self.done()}") from None


def wait_for(holds: Callable[[], object], seconds: float, why: Callable[[], str] = lambda: "") -> float:
    """Wait until it holds; returns the seconds that took."""
    began = time.monotonic()
    while not holds():
        if time.monotonic() - began > seconds:
            raise AssertionError(f"not within {seconds:g} s\n{why()}")
        time.sleep(0.05)
    return time.monotonic() - began


def _command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
