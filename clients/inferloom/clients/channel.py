"""The connection: where to, with which credentials, with which limits."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from inferloom.mesh.errors import ConfigError

__all__ = ["DEFAULT_ADDRESS", "MIB", "Endpoint", "default_address"]

DEFAULT_ADDRESS = "127.0.0.1:8081"
MIB = 1 << 20
_SCHEMES = {"http://": False, "grpc://": False, "https://": True, "grpcs://": True}
_RESOLVERS = ("unix:", "dns:", "ipv4:", "ipv6:", "xds:", "vsock:")


def default_address() -> str:
    """`$INFERLOOM_MESH`, else where `inferloom up` listens by default."""
    return os.environ.get("INFERLOOM_MESH") or DEFAULT_ADDRESS


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server, and how to speak to it.

    Raises:
        ConfigError: no host:port, a file that cannot be read, or a key without its certificate.
    """

    address: str = DEFAULT_ADDRESS  # host:port; a scheme http(s):// or grpc(s):// says whether there is TLS
    tls: bool | None = None  # None: where ca or cert is given, or the address says https://
    ca: str | Path | None = None  # PEM file of the authority that signed the server's certificate; None: the system's
    cert: str | Path | None = None  # PEM files of this client's own certificate and key, for mutual TLS
    key: str | Path | None = None
    server_name: str | None = None  # the name in the server's certificate where it is not the host's
    max_message_bytes: int = 64 * MIB  # both ways
    keepalive: float = 10.0  # seconds between pings while a call waits; a foreign Triton bears no less than 300
    target: str = field(init=False)  # what gRPC is told
    secure: bool = field(init=False)

    def __post_init__(self) -> None:
        target, secure = self.address.strip(), self.tls
        for scheme, encrypted in _SCHEMES.items():
            if target.startswith(scheme):
                target = target.removeprefix(scheme).rstrip("/")
                secure = encrypted if secure is None else secure
        if not target.startswith(_RESOLVERS):
            host, colon, port = target.rpartition(":")
            if not colon or not host or not port.isdigit() or not 0 < int(port) < 65536:
                raise ConfigError(
                    f"{self.address!r} is no address of a server: give HOST:PORT, as in {DEFAULT_ADDRESS}"
                )
        if not self.keepalive >= 1:
            raise ConfigError(f"keepalive is in seconds, at least 1; got {self.keepalive}")
        if (self.cert is None) != (self.key is None):
            raise ConfigError("mutual TLS takes both cert= and key=")
        object.__setattr__(self, "target", target)
        object.__setattr__(self, "secure", bool(self.ca or self.cert) if secure is None else secure)
        if not self.secure and (self.ca or self.cert):
            raise ConfigError(f"ca= and cert= are for TLS, which tls=False or the address {self.address!r} rules out")

    @property
    def loopback(self) -> bool:
        return self.target.startswith(("127.", "localhost:", "[::1]:", "unix:"))

    def options(self) -> list[tuple[str, Any]]:
        """gRPC's settings of the channel."""
        options: list[tuple[str, Any]] = [
            ("grpc.max_send_message_length", self.max_message_bytes),
            ("grpc.max_receive_message_length", self.max_message_bytes),
            ("grpc.keepalive_time_ms", round(self.keepalive * 1000)),
            ("grpc.keepalive_timeout_ms", 5_000),
            # Its default is 120 s: a server that was away for a minute would stay unreachable for two more.
            ("grpc.initial_reconnect_backoff_ms", 200),
            ("grpc.max_reconnect_backoff_ms", 2_000),
            # Otherwise two clients of one process share a connection, its backoff and its flow-control window.
            ("grpc.use_local_subchannel_pool", 1),
        ]
        if self.loopback:
            options.append(("grpc.enable_http_proxy", 0))  # http_proxy in the environment is not for this machine
        if self.server_name:
            options.append(("grpc.ssl_target_name_override", self.server_name))
        return options

    def connect(self) -> grpc.aio.Channel:
        """A channel of the running event loop."""
        if not self.secure:
            return grpc.aio.insecure_channel(self.target, options=self.options())
        credentials = grpc.ssl_channel_credentials(
            _read(self.ca, "ca"), _read(self.key, "key"), _read(self.cert, "cert")
        )
        return grpc.aio.secure_channel(self.target, credentials, options=self.options())


def _read(path: str | Path | None, option: str) -> bytes | None:
    if path is None:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"{option}={str(path)!r} cannot be read: {error.strerror}") from None
