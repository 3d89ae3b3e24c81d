"""python -m bench.soak: whether memory stays flat while pipelines, an ensemble and a service are called for minutes.

Serves what `python -m bench pipelines` serves and calls three stages, an ensemble of four and a service in turns, by the host
and by the router, with 16 requests in flight. The growth is that of the resident memory over the last two thirds, as a line
through its samples: the first third fills caches, pools and arenas.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import psutil

from bench import h2load
from bench.paths import HOST
from bench.pipelines.serve import Serving, body, serving
from bench.pipelines.subjects import GRAPHS, SERVICE, WAYS, Subject
from bench.wire import METHOD

LOAD = h2load.Load("16", 4, 4)
BURST = 1500  # requests of each turn
KIND = "0"
MOST = 6.0  # MB that a process may grow within ten minutes: below what one sample differs from the next


def soak(minutes: float) -> Mapping[str, Mapping[str, float]]:
    """Growth by process, in MB for ten minutes, and the requests there were.

    Raises:
        RuntimeError: a request failed.
    """
    subjects = [Subject(f"{graph}-{KIND}", way, adds) for graph, adds in GRAPHS.items() for way in WAYS]
    subjects += [Subject(SERVICE, way, 1.0) for way in WAYS]
    with serving((KIND,)) as mesh, tempfile.TemporaryDirectory(prefix="inferloom-soak-") as folder:
        host = psutil.Process(mesh.host_pid)
        processes = {"host": host, "up": host.parents()[0]}
        samples: dict[str, list[tuple[float, float]]] = {name: [] for name in processes}
        began = time.monotonic()
        requests = 0
        for subject in itertools.cycle(subjects):
            requests += _burst(mesh, subject, Path(folder))
            at = time.monotonic() - began
            for name, process in processes.items():
                samples[name].append((at, process.memory_info().rss / 1e6))
            print(f"\r{at:5.0f} s  {requests} requests", end="", file=sys.stderr, flush=True)
            if at > 60 * minutes:
                break
    print(file=sys.stderr)
    return {name: {**_growth(each), "requests": requests} for name, each in samples.items()}


def _burst(mesh: Serving, subject: Subject, folder: Path) -> int:
    size = mesh.reply_bytes(subject)
    url = f"http://{HOST}:{mesh.ports[subject.way]}{METHOD}"
    summary, _ = h2load.run(LOAD, BURST, url, body(folder, subject))
    if summary.succeeded != BURST or summary.data_bytes != BURST * size:
        raise RuntimeError(f"{subject.name} by {subject.way}: not every call was answered with status OK: {summary}")
    return BURST


def _growth(samples: Sequence[tuple[float, float]]) -> dict[str, float]:
    later = np.array([each for each in samples if each[0] > samples[-1][0] / 3])
    slope = np.polyfit(later[:, 0], later[:, 1], 1)[0]
    return {
        "start_mb": round(samples[0][1], 1),
        "end_mb": round(samples[-1][1], 1),
        "growth_mb_in_ten_minutes": round(float(slope) * 600, 2),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    options = argparse.ArgumentParser(prog="python -m bench.soak", description=(__doc__ or "").split("\n\n")[0])
    options.add_argument("--minutes", type=float, default=10.0, help="how long (default 10)")
    options.add_argument("--gate", action="store_true", help=f"exit status 1 above {MOST:g} MB in ten minutes")
    given = options.parse_args(arguments)
    found = soak(given.minutes)
    print(json.dumps(found, indent=1))
    grown = any(each["growth_mb_in_ten_minutes"] > MOST for each in found.values())
    return 1 if given.gate and grown else 0


if __name__ == "__main__":
    sys.exit(main())
