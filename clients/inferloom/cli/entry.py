"""Entry point of the command: what must be settled before grpc is imported, then the command itself.

gRPC's newer event engine hands each completion over between threads once more than its older poller does. For a Python
server that costs about 40 µs of CPU per request and 0.1 ms of latency (docs/performance.md). The older one is chosen by
names of experiments, which belong to certain versions of gRPC: only for those with which all tests have run.
"""

from __future__ import annotations

import os
from importlib.metadata import version

__all__ = ["main", "settle"]

OLDER_POLLER = "-event_engine_client,-event_engine_listener"
TESTED = ((1, 85), (1, 86))  # of grpcio: from, up to but not including


def older_poller(grpcio: str) -> bool:
    """Whether this version of grpcio is known to have it, under these names."""
    major, minor, *_ = grpcio.split(".")
    return TESTED[0] <= (int(major), int(minor)) < TESTED[1]


def settle() -> None:
    """Set what grpc reads when it is imported. What the user has set is left as it is."""
    if "GRPC_EXPERIMENTS" not in os.environ and older_poller(version("grpcio")):
        os.environ["GRPC_EXPERIMENTS"] = OLDER_POLLER
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # that a server stops, or a client has gone, is no news


def main() -> None:
    """Run the command."""
    settle()
    from inferloom.cli.main import main as run
    from inferloom.cli.stderr import forgive

    forgive()
    run()
