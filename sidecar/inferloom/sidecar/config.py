"""Options of a sidecar."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field
from pathlib import Path

from inferloom.mesh.errors import ConfigError
from inferloom.mesh.listen import parse_address
from inferloom.sidecar.tracing import receiver_from_environment

__all__ = ["SidecarConfig"]


@dataclass(frozen=True, kw_only=True)
class SidecarConfig:
    """What a sidecar is told. Times are in seconds.

    Raises:
        ConfigError: values that contradict one another or make no sense.
    """

    repository: Path | None = None  # models to load; None only where an attached Triton has its own
    triton: str = "managed"  # "managed", "path" (tritonserver on PATH) or "docker[:TAG]"
    triton_url: str = ""  # "host:port" (gRPC) of a running Triton to attach to instead
    triton_http_port: int = 0  # REST port of an attached Triton; 0: none
    triton_metrics_port: int = 0  # its metrics port; 0: not known
    advertise: str = "127.0.0.1"  # the host others reach Triton at; not loopback: Triton listens on all addresses
    grpc_port: int = 0  # Triton's ports; 0: a free one, another at each start
    http_port: int = 0
    metrics_port: int = 0
    replica_id: str = ""  # unique among the replicas of a model; "": made from host and process
    weight: float = 1.0  # share of the traffic relative to its peers
    locality: str = ""  # "region/zone"
    gpus: tuple[str, ...] = ()  # CUDA_VISIBLE_DEVICES; empty: as the environment says
    health_host: str = "127.0.0.1"  # where grpc.health.v1 answers
    health_port: int = 0  # 0: a free one
    triton_options: tuple[str, ...] = ()  # passed to tritonserver, after ours
    triton_traces: str = field(default_factory=receiver_from_environment)  # OTLP over HTTP; "": it traces nothing
    log_path: Path | None = None  # Triton's output is appended to it
    allow_vulnerable_triton: bool = False  # let a Triton older than 25.07 be reached from other machines
    load_timeout: float = 300.0  # for Triton's start, for each load and for each first request
    attach_timeout: float = 10.0  # for the first answer of an attached Triton
    drain_timeout: float = 30.0  # for what is in flight
    watch_lag: float = 1.0  # how long routers may take to see a record's change
    scan_interval: float = 0.5  # between looks at the repository (an attached Triton's index: four times that)
    probe_interval: float = 1.0
    probe_timeout: float = 1.0
    probes: int = 3  # failed in a row before its replicas are out
    hung_after: float = 30.0  # without an answer, before it is killed
    restart_first: float = 1.0  # backoff after the first failure
    restart_most: float = 30.0

    def __post_init__(self) -> None:
        if self.triton_url:
            parse_address(self.triton_url, "--triton-url")
        elif self.repository is None:
            raise ConfigError(
                "a sidecar needs models (--repository DIR), or the address of a running Triton (--triton-url HOST:PORT)"
            )
        if not self.weight > 0:
            raise ConfigError(f"weight {self.weight}: it must be greater than 0")
        for name in ("load_timeout", "attach_timeout", "scan_interval", "probe_interval", "probe_timeout", "probes"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} {getattr(self, name)}: it must be greater than 0")
        for name in ("drain_timeout", "watch_lag", "restart_first"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} {getattr(self, name)}: it must not be negative")
        for name in (
            "grpc_port",
            "http_port",
            "metrics_port",
            "health_port",
            "triton_http_port",
            "triton_metrics_port",
        ):
            if not 0 <= getattr(self, name) <= 65535:
                raise ConfigError(f"{name} {getattr(self, name)}: a port is 0 to 65535")

    @property
    def attached(self) -> bool:
        return bool(self.triton_url)

    @property
    def id(self) -> str:
        return self.replica_id or f"{socket.gethostname()}-{os.getpid()}"
