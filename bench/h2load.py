"""h2load as the source of load: the command, and what it says.

h2load prints no median, so the latencies come from its log (one line per request: start, HTTP status, microseconds).
It counts HTTP 200 whatever grpc-status says: a failed call is told by its missing body, so the bytes of data that came
back are counted too.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TIMEOUT_S = 60.0

_RATE = re.compile(r"^finished in [^,]+, ([\d.]+) req/s", re.MULTILINE)
_REQUESTS = re.compile(r"^requests: (\d+) total,.* (\d+) succeeded,", re.MULTILINE)
_DATA = re.compile(r"^traffic:.*\((\d+)\) data$", re.MULTILINE)
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}
_SECONDS = re.compile(r"^finished in ([\d.]+)(us|ms|s|m)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Load:
    """How many requests are in flight at any time: `connections` x `streams`."""

    name: str
    connections: int
    streams: int

    @property
    def in_flight(self) -> int:
        return self.connections * self.streams


@dataclass(frozen=True, slots=True)
class Summary:
    """What h2load prints at its end."""

    requests: int
    succeeded: int  # HTTP 200
    seconds: float
    rate: float  # requests per second
    data_bytes: int  # bodies of all answers


def command(load: Load, requests: int, url: str, body: Path, log: Path) -> list[str]:
    return [
        "h2load",
        f"--requests={requests}",
        f"--clients={load.connections}",
        f"--max-concurrent-streams={load.streams}",
        f"--data={body}",
        f"--log-file={log}",
        "--header=content-type: application/grpc",
        "--header=te: trailers",
        url,
    ]


def parse_summary(text: str) -> Summary:
    """The figures in h2load's output.

    Raises:
        ValueError: it is not the output of a finished run.
    """
    rate, requests, data, seconds = (pattern.search(text) for pattern in (_RATE, _REQUESTS, _DATA, _SECONDS))
    if rate is None or requests is None or data is None or seconds is None:
        raise ValueError(f"h2load did not finish: {' '.join(text.split())[-300:] or 'no output'}")
    return Summary(
        requests=int(requests[1]),
        succeeded=int(requests[2]),
        seconds=float(seconds[1]) * _UNITS[seconds[2]],
        rate=float(rate[1]),
        data_bytes=int(data[1]),
    )


def parse_log(lines: Iterable[str]) -> list[float]:
    """Latencies in seconds, ascending, from the lines of h2load's log."""
    return sorted(int(line.split("\t")[2]) / 1e6 for line in lines if line.strip())


def quantile(ascending: list[float], share: float) -> float:
    """The value below which `share` (0 to 1) of the values lie, by nearest rank.

    Raises:
        ValueError: there are no values.
    """
    if not ascending:
        raise ValueError("no latencies: h2load's log is empty")
    return ascending[min(int(share * len(ascending)), len(ascending) - 1)]


def run(load: Load, requests: int, url: str, body: Path) -> tuple[Summary, list[float]]:
    """Send `requests` requests and wait for all answers.

    Raises:
        ValueError: h2load failed.
        subprocess.TimeoutExpired: it took longer than `TIMEOUT_S`.
    """
    with tempfile.TemporaryDirectory(prefix="inferloom-bench-") as folder:
        log = Path(folder, "log")
        done = subprocess.run(
            command(load, requests, url, body, log), capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
        summary = parse_summary(done.stdout + done.stderr)
        with log.open() as lines:
            return summary, parse_log(lines)
