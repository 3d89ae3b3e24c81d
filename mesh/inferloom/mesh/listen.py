"""Addresses to listen on: HOST:PORT, and whether the port is free.

grpc binds with SO_REUSEPORT by default: a second server on the same port binds silently and takes half of the traffic.
So a plain bind is tried first, and the option is off.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from dataclasses import dataclass

from inferloom.mesh.errors import ConfigError

__all__ = ["Address", "check_free", "free_port", "parse_address"]


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int  # 0: any free one

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse_address(text: str, option: str) -> Address:
    """HOST:PORT, :PORT or PORT (then on loopback).

    Raises:
        ConfigError: it is none of these; names `option`.
    """
    host, _, port = text.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not port.isdecimal() or int(port) > 65535:
        raise ConfigError(f"{option}: {text!r} is no HOST:PORT (for instance 127.0.0.1:8081)")
    return Address(host, int(port))


def check_free(address: Address, option: str) -> None:
    """Raises ConfigError where something else listens there already, or the address is not this machine's."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address.host, address.port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise ConfigError(
                    f"{option}: port {address.port} on {address.host} is in use; choose another"
                ) from None
            raise ConfigError(f"{option}: cannot listen on {address}: {error.strerror or error}") from None


def free_port(host: str = "127.0.0.1") -> int:
    """A port that is free now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
