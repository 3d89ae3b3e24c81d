"""A command that stays while a page is run."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from tests.docs.commands import Command

__all__ = ["START", "Background", "Failed"]

START = 90.0  # seconds until it must be ready
END = 40.0  # seconds that it may take to end
ENDED_BY_SIGNAL = frozenset({-signal.SIGINT, 128 + signal.SIGINT, 1})  # good enough for programs that are not ours


class Failed(Exception):
    """A command did not do what the page says."""


class Background:
    """It runs in a process group of its own, which gets SIGINT at its end, as Ctrl-C in a terminal does.

    Args:
        text: what bash runs.
        log: file for what it prints.
    """

    def __init__(self, command: Command, text: str, folder: Path, log: Path, environ: Mapping[str, str]) -> None:
        self.command = command
        self._log = log
        with log.open("wb") as out:
            self.process = subprocess.Popen(
                ["bash", "-c", text],
                cwd=folder,
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def printed(self) -> str:
        return self._log.read_text(errors="replace")

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def wait_ready(self, consul: str) -> dict[str, str]:
        """What its `ready` line names: {"grpc": "127.0.0.1:8081", ...}; nothing where it is no role of inferloom.

        Args:
            consul: HOST:PORT of the agent, if that is what it is.

        Raises:
            Failed: it ended, or is not ready in time.
        """
        end = time.monotonic() + START
        while True:
            match = re.search(r"^ready(?: (.*))?$", self.printed, re.MULTILINE)
            settled = self.command.role != "up" or "Ctrl-C" in self.printed  # lines to paste follow the ready line
            if match and settled:
                return dict(re.findall(r"(\w+)=(\S+)", match[1] or ""))
            if self.command.consul and _leads(consul):
                return {}
            if not self.running:
                raise Failed(f"it ended with exit code {self.process.returncode} before it was ready\n{self.printed}")
            if not self.command.role and not self.command.consul and self.printed:
                return {}
            if time.monotonic() > end:
                raise Failed(f"it was not ready after {START:.0f} s\n{self.printed}")
            time.sleep(0.05)

    def end(self) -> None:
        """Ctrl-C; then its exit code must be 0.

        Raises:
            Failed: it is not, it had ended before, or it does not end.
        """
        if not self.running:
            raise Failed(f"it ended by itself with exit code {self.process.returncode}\n{self.printed}")
        os.killpg(self.process.pid, signal.SIGINT)
        try:
            code = self.process.wait(END)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failed(f"it did not end within {END:.0f} s of Ctrl-C\n{self.printed}") from None
        if code and (self.command.words[:1] == ["inferloom"] or code not in ENDED_BY_SIGNAL):
            raise Failed(f"Ctrl-C ended it with exit code {code}\n{self.printed}")

    def kill(self) -> None:
        """Where the page has failed already."""
        if self.running:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def _leads(address: str) -> bool:
    """Whether a Consul agent answers there and has a leader."""
    try:
        with urllib.request.urlopen(f"http://{address}/v1/status/leader", timeout=2) as answer:
            return b":" in answer.read()
    except (OSError, urllib.error.URLError):
        return False
