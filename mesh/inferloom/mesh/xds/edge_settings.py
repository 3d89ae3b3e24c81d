"""What one edge is: part comes from its own bootstrap (node metadata), part from the control plane's options.

Frozen and hashable, so that edges with equal settings share one `Compiler`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from inferloom.mesh.errors import ConfigError
from inferloom.mesh.listen import Address, parse_address

__all__ = ["ACCESS_LOGS", "ADMIN_KEY", "NODE_KEY", "EdgeSettings"]

NODE_KEY = "inferloom"  # of the node's metadata
ADMIN_KEY = "inferloom_admin"  # beside it: host:port of Envoy's admin face
ACCESS_LOGS = ("failures", "all", "off")
MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeSettings:
    """Settings of one edge. Validates itself."""

    listen: Address = field(default_factory=lambda: Address("127.0.0.1", 8080))
    tls_cert: str = ""  # paths on the edge's machine, PEM; "": no TLS
    tls_key: str = ""
    tls_client_ca: str = ""  # callers must show a certificate signed by it
    router: str = "127.0.0.1:8081"  # host:port of the router process, gRPC
    http: str = "127.0.0.1:8082"  # ... and HTTP
    tokens: tuple[str, ...] = ()  # bearer tokens, one of which every call but health checks needs; none: open
    max_message: int = 64 * MIB  # bytes
    access_log: str = "failures"  # one of ACCESS_LOGS
    zone: str = ""  # as in Replica.locality, whole or its last part; "": none
    otlp: str = ""  # host:port that takes traces, OTLP over gRPC without TLS; "": none are made
    trace_ratio: float = 1.0  # 0 to 1, of requests whose callers have not decided

    def __post_init__(self) -> None:
        if bool(self.tls_cert) != bool(self.tls_key):
            raise ConfigError("edge: tls_cert and tls_key go together")
        if self.tls_client_ca and not self.tls_cert:
            raise ConfigError("edge: tls_client_ca needs tls_cert and tls_key")
        if self.access_log not in ACCESS_LOGS:
            raise ConfigError(f"edge: access_log is {self.access_log!r}; one of {', '.join(ACCESS_LOGS)}")
        if not MIB <= self.max_message < 1 << 31:
            raise ConfigError(f"edge: max_message is {self.max_message}; 1 MiB up to 2 GiB")
        parse_address(self.router, "edge: router")
        parse_address(self.http, "edge: http")
        if self.otlp:
            parse_address(self.otlp, "edge: otlp")
        if not 0 <= self.trace_ratio <= 1:
            raise ConfigError(f"edge: trace_ratio is {self.trace_ratio}; 0 to 1")

    def from_node(self, metadata: Mapping[str, Any]) -> EdgeSettings:
        """These settings, with what an edge says of itself in its node metadata.

        Args:
            metadata: of the node as plain JSON; its part under "inferloom" holds listen ("host:port"), tls_cert, tls_key,
                tls_client_ca, access_log, zone, max_message, each optional.

        Raises:
            ConfigError: one of them is of no use; names it.
        """
        said = metadata.get(NODE_KEY, {})
        if not isinstance(said, Mapping):
            raise ConfigError(f"edge: node metadata '{NODE_KEY}' is no mapping")
        fields: dict[str, Any] = {}
        for key in ("tls_cert", "tls_key", "tls_client_ca", "access_log", "zone"):
            if key in said:
                fields[key] = str(said[key])
        if "listen" in said:
            fields["listen"] = parse_address(str(said["listen"]), "edge: listen")
        if "max_message" in said:
            try:
                fields["max_message"] = int(said["max_message"])  # JSON of a Struct has no integers
            except (TypeError, ValueError):
                raise ConfigError(f"edge: max_message is {said['max_message']!r}; a number of bytes") from None
        return replace(self, **fields)

    def node(self) -> dict[str, Any]:
        """The node metadata that `from_node` reads."""
        return {
            NODE_KEY: {
                "listen": str(self.listen),
                "tls_cert": self.tls_cert,
                "tls_key": self.tls_key,
                "tls_client_ca": self.tls_client_ca,
                "access_log": self.access_log,
                "zone": self.zone,
                "max_message": self.max_message,
            }
        }
