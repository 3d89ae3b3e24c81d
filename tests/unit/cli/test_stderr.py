from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest

from inferloom.cli.stderr import forgive

SAYS = "import sys; from inferloom.cli.stderr import forgive; forgive(); print('lost', file=sys.stderr, flush=True); "


def test_a_full_disk_costs_what_is_said_and_nothing_else() -> None:
    with open("/dev/full", "wb", buffering=0) as full:
        done = subprocess.run([sys.executable, "-c", SAYS + "print('goes on')"], stderr=full, capture_output=False,
                              stdout=subprocess.PIPE, timeout=30, check=False)  # fmt: skip
    assert (done.returncode, done.stdout) == (0, b"goes on\n")


def test_what_can_be_written_is_written_at_once_and_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    with open(read, encoding="utf-8") as reader, open(write, "w", encoding="utf-8") as writer:
        monkeypatch.setattr("sys.stderr", writer)
        forgive()
        print("Überall", file=sys.stderr)
        assert reader.readline() == "Überall\n"


def test_a_stream_that_is_no_file_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    forgive()
    assert sys.stderr is stream
