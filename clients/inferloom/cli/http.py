"""The HTTP port of a router: JSON for models, services and pipelines, and the HTTP applications among them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import structlog

from inferloom.mesh.errors import ConfigError
from inferloom.mesh.listen import Address, check_free, free_port, parse_address
from inferloom.mesh.router.router import Router

__all__ = ["DEFAULT", "HttpPort", "choose_http", "parse_http"]

log = structlog.get_logger(__name__)
DEFAULT = "127.0.0.1:8080"
OFF = "off"


def parse_http(text: str) -> Address | None:
    """None for "off". Raises ConfigError."""
    if text == OFF:
        return None
    address = parse_address(text, "--http")
    check_free(address, "--http")
    return Address(address.host, address.port or free_port(address.host))


def choose_http(text: str | None) -> tuple[Address | None, str]:
    """Where to listen, and a note where that is not the default port because it is in use.

    Args:
        text: as it was asked for; None: nobody did.

    Raises:
        ConfigError: it is no address, or in use.
    """
    if text is not None:
        return parse_http(text), ""
    address = parse_address(DEFAULT, "--http")
    try:
        check_free(address, "--http")
    except ConfigError:
        other = Address(address.host, free_port(address.host))
        return other, f"port {address.port} is in use, so HTTP is on {other}; --http HOST:PORT chooses another"
    return address, ""


class HttpPort:
    """Opens the port.

    Args:
        address: where; its port is not 0.
        tokens: every request needs one of them; empty: none is needed.
        public: where callers come in, if not here: the edge's address.
        faces: typed faces (inferloom.services.typed.faces.Faces) of the same router; None: its own.
    """

    def __init__(
        self,
        router: Router,
        address: Address,
        *,
        tokens: Collection[str] = (),
        faces: Any = None,
        public: Address | None = None,
    ) -> None:
        self._router = router
        self._address = address
        self._tokens = tokens
        self._faces = faces
        self._public = public
        self._face: Any = None
        self._mounts: Any = None

    async def start(self) -> Address:
        """Listen. Raises ConfigError where the port is in use."""
        from inferloom.services.host.proxy import Mounts
        from inferloom.services.typed.http import HttpFace

        self._mounts = Mounts(self._router)
        mounts = {"*": self._mounts.handle}
        self._face = HttpFace(self._router, mounts=mounts, tokens=self._tokens, faces=self._faces, public=self._public)
        await self._face.start(self._address)
        return self._address

    async def close(self) -> None:
        """Let the requests in flight end, and close it. Idempotent."""
        face, mounts, self._face, self._mounts = self._face, self._mounts, None, None
        if face is not None:
            await face.close()
        if mounts is not None:
            await mounts.close()
