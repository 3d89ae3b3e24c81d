"""The ports that a page names, and the free ones that stand for them while it runs."""

from __future__ import annotations

import re
from collections.abc import Callable

from inferloom.mesh.listen import free_port

__all__ = ["GRPC", "HTTP", "Ports"]

GRPC, HTTP = 8081, 8080  # the usual ones
ADDRESS = re.compile(r"\b(127\.0\.0\.1|localhost|0\.0\.0\.0):(\d{2,5})\b")


class Ports:
    """The same free port for the same port of the page, everywhere on it.

    Args:
        free: finds a port.
    """

    def __init__(self, free: Callable[[], int] = free_port) -> None:
        self._free = free
        self._chosen: dict[int, int] = {}

    def __getitem__(self, port: int) -> int:
        """What stands for it."""
        if port not in self._chosen:
            self._chosen[port] = self._free()
        return self._chosen[port]

    def __contains__(self, port: int) -> bool:
        return port in self._chosen

    def settle(self, port: int, real: int) -> None:
        """From now on `real` stands for it: a command has said so."""
        self._chosen[port] = real

    def address(self, port: int) -> str:
        return f"127.0.0.1:{self[port]}"

    def shown(self, text: str) -> str:
        """What was printed, as it is printed where the page's own ports are free."""
        for port, real in self._chosen.items():
            text = re.sub(rf":{real}\b", f":{port}", text)
        return text.replace(f" --mesh 127.0.0.1:{GRPC}", "")  # commands print that where it is not the usual port

    def replaced(self, text: str) -> str:
        """The text with this run's ports. Those of other hosts, and port 0, stay."""
        return ADDRESS.sub(lambda match: f"{match[1]}:{self[int(match[2])]}", text)
