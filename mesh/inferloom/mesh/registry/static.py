"""A registry that says what it was told: fixed addresses, for a router in front of servers nobody registers."""

from __future__ import annotations

from inferloom.mesh.catalog import Replica
from inferloom.mesh.errors import ConfigError
from inferloom.mesh.listen import parse_address
from inferloom.mesh.names import check_name
from inferloom.mesh.registry.memory import MemoryRegistry

__all__ = ["StaticRegistry"]


class StaticRegistry(MemoryRegistry):
    """Replicas from text: "MODEL=HOST:PORT,MODEL=HOST:PORT"; several addresses of one model are its replicas.

    Raises:
        ConfigError: the text is not of that form.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        for entry in filter(None, (part.strip() for part in text.split(","))):
            name, separator, place = entry.partition("=")
            if not separator:
                raise ConfigError(f"--registry static: {entry!r} is no MODEL=HOST:PORT")
            address = parse_address(place, "--registry static")
            self._put(Replica(check_name(name), str(address), address.host, address.port))
