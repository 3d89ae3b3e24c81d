"""What `up` shows: progress, the ready line, and lines to paste."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.status import Status

__all__ = ["Output"]

DEFAULT = "127.0.0.1:8081"


class Output:
    """Progress goes to stderr (a spinner where that is a terminal, else a line when it changes), results to stdout."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._status: Status | None = None
        self._last = ""
        self.is_ready = False

    def progress(self, text: str) -> None:
        if text == self._last:
            return
        self._last = text
        if not self._console.is_terminal:
            print(text, file=sys.stderr, flush=True)
        elif self._status is None:
            self._status = self._console.status(text)
            self._status.start()
        else:
            self._status.update(text)

    def note(self, text: str) -> None:
        """A line that stays."""
        self._console.print(text, markup=False, soft_wrap=True)

    def done(self) -> None:
        """Take the spinner away."""
        if self._status is not None:
            self._status.stop()
            self._status = None
        self._last = ""

    def ready(self, address: str, admin: str, calls: Sequence[str], http: str = "", edges: str = "") -> None:
        """The ready line, for scripts to wait for, and what a person may do next.

        Args:
            http: HOST:PORT of the HTTP port, where it is open.
            edges: HOST:PORT where the control plane tells its metrics and those of Envoy.
        """
        self.done()
        self.is_ready = True
        print(f"ready grpc={address} admin={admin}" + (f" http={http}" if http else ""), flush=True)
        if calls:
            print("\ncall it:\n" + "\n".join(f"  {line}" for line in calls))
        option = "" if address == DEFAULT else f" --mesh {address}"
        if http:
            print(f"\nevery call by JSON: http://{http}/docs")
        if edges:
            print(f"\nmetrics:           http://{admin}/metrics, and of what Envoy does http://{edges}/metrics")
        print(f"\nadd a model:       inferloom add MODEL.onnx{option}")
        print(f"see the mesh live: inferloom models{option}")
        print("stop:              Ctrl-C", flush=True)
