"""Homes for commands, and a mesh that tests share which leave it as it was."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import pytest

from tests.support.up import DATA, Home, Up

# A shell starts what it runs in the background with SIGINT ignored, and that would be inherited.
signal.signal(signal.SIGINT, signal.default_int_handler)

PATIENCE = 5.0  # seconds that what was started may take to end


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A fresh one, in which nothing is left running."""
    with _Entered(tmp_path / "home") as home:
        yield home


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Home]]:
    """Makes homes that last as long as the module."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(_Entered(tmp_path_factory.mktemp("home") / "home"))


@pytest.fixture(scope="session")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """`inferloom up iris.onnx`, for tests that only look or call."""
    with _Entered(tmp_path_factory.mktemp("mesh") / "home") as home, home.up(DATA / "iris.onnx") as up:
        yield up


class _Entered:
    """A home whose processes have ended after it; ends them, and fails, where one has not."""

    def __init__(self, folder: Path) -> None:
        self.home = Home(folder)

    def __enter__(self) -> Home:
        return self.home

    def __exit__(self, kind: object, *rest: object) -> None:
        end = time.monotonic() + PATIENCE
        while self.home.processes() and time.monotonic() < end:
            time.sleep(0.1)
        left = self.home.leftovers(running=True)
        for process in self.home.processes():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        assert kind is not None or not left, f"still running {PATIENCE:g} s later: {left}"
