"""How to reach Consul: address, token and certificates, from arguments or from Consul's usual variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from inferloom.mesh.errors import ConfigError

__all__ = ["ConsulSettings"]

FALSE = ("0", "f", "false", "no", "off")
TRUE = ("1", "t", "true", "yes", "on")
PORT = 8500


@dataclass(frozen=True, slots=True)
class ConsulSettings:
    """One Consul agent and who we are to it.

    Raises:
        ConfigError: from `parse` and `from_environment`: a value that cannot be, named.
    """

    host: str = "127.0.0.1"
    port: int = PORT
    scheme: str = "http"  # "http" or "https"
    token: str = field(default="", repr=False)
    ca: Path | None = None  # PEM of the authorities that may have signed the agent's certificate; None: the system's
    cert: Path | None = None  # PEM of our own certificate, and its key
    key: Path | None = None
    verify: bool = True  # check the agent's certificate
    namespace: str = ""  # Consul Enterprise; "" for the token's own

    @property
    def address(self) -> str:
        """host:port, IPv6 in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def at(self, address: str, source: str = "the Consul address") -> ConsulSettings:
        """These settings for another agent: HOST, HOST:PORT, or with http://, https:// or consul:// before it."""
        text = address.strip()
        try:
            parts = urlsplit(text if "://" in text else f"//{text}")
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise ConfigError(f"{source} {address!r} is no HOST:PORT: {error}") from error
        if parts.scheme not in ("", "http", "https", "consul") or not host or parts.path.strip("/"):
            raise ConfigError(f"{source} {address!r} is no HOST:PORT (Unix sockets and paths are not supported)")
        scheme = parts.scheme if parts.scheme in ("http", "https") else self.scheme
        return replace(self, host=host, port=port or PORT, scheme=scheme)

    @staticmethod
    def from_environment(environ: Mapping[str, str], address: str | None = None) -> ConsulSettings:
        """What CONSUL_HTTP_ADDR and its kin say; `address` overrides the address alone."""
        token = environ.get("CONSUL_HTTP_TOKEN", "")
        if not token and (path := environ.get("CONSUL_HTTP_TOKEN_FILE")):
            token = _read(path, "CONSUL_HTTP_TOKEN_FILE")
        settings = ConsulSettings(
            scheme="https" if _flag(environ, "CONSUL_HTTP_SSL", False) else "http",
            token=token,
            ca=_path(environ, "CONSUL_CACERT"),
            cert=_path(environ, "CONSUL_CLIENT_CERT"),
            key=_path(environ, "CONSUL_CLIENT_KEY"),
            verify=_flag(environ, "CONSUL_HTTP_SSL_VERIFY", True),
            namespace=environ.get("CONSUL_NAMESPACE", ""),
        )
        if address:
            return settings.at(address)
        if found := environ.get("CONSUL_HTTP_ADDR"):
            return settings.at(found, "CONSUL_HTTP_ADDR")
        return settings


def _flag(environ: Mapping[str, str], name: str, default: bool) -> bool:
    value = environ.get(name, "").lower()
    if not value:
        return default
    if value not in TRUE + FALSE:
        raise ConfigError(f"{name}={value!r} is neither true nor false")
    return value in TRUE


def _path(environ: Mapping[str, str], name: str) -> Path | None:
    value = environ.get(name)
    if not value:
        return None
    if not Path(value).is_file():
        raise ConfigError(f"{name}={value}: no such file")
    return Path(value)


def _read(path: str, source: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise ConfigError(f"{source}={path} cannot be read: {error.strerror}") from error
