"""`make demo`: what the README shows, with less load and less calm between the incidents."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LONGEST = 220  # seconds, on a machine that does much else; half a minute of it is until the frozen Triton is killed
TRACING = ("OTEL_", "INFERLOOM_TRITON_OTLP")  # variables that lead traces to a receiver of somebody's own


def command() -> list[str]:
    """What `make demo` runs, by the Python that runs this."""
    told = subprocess.run(["make", "--dry-run", "demo"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (line,) = (line for line in told.splitlines() if "demo.py" in line)
    return [sys.executable, *shlex.split(line)[1:]]


@pytest.mark.timeout(LONGEST + 60)
def test_the_demo_ends_well_and_with_the_trace_of_a_request(tmp_path: Path) -> None:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(TRACING)}
    process = subprocess.Popen(
        [*command(), "--calm", "0.5", "--pause", "0.2"],
        cwd=ROOT,
        env=environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        out, _ = process.communicate(timeout=LONGEST)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)  # it ends its mesh
        out, _ = process.communicate(timeout=40)
        raise AssertionError(f"not done after {LONGEST} s:\n{out}") from None
    finally:
        process.kill()  # only where that has not helped
    assert process.returncode == 0, out
    assert "All labels identical, no request failed." in out
    assert re.search(r"requests sent [1-9]\d*, failed 0,", out), out
    trace = out.rpartition("The trace of one request")[2]
    for span in (r"inferloom-host  member digits-svm  ", r"triton  digits-svm  server  \d"):
        assert re.search(span, trace), out
    assert re.search(r"^In Jaeger: \S+/trace/[0-9a-f]{32}\b", trace, re.MULTILINE), out
