"""What a host is told."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field

from inferloom.mesh.errors import ConfigError
from inferloom.mesh.listen import Address

__all__ = ["HostConfig"]

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class HostConfig:
    """Options of one host process. Validates itself."""

    app: str = ""  # "app.py", a folder with one, or "package.module"; "": none, for pipelines alone
    only: tuple[str, ...] = ()  # names of the services that run here; empty: all
    services: bool = True  # False: none of them; the file is there for the functions that pipelines name
    pipelines: bool = False  # runs the pipelines too
    address: Address = field(default_factory=lambda: Address("127.0.0.1", 0))  # gRPC
    option: str = "--grpc"  # how the user named the address, for error messages
    advertise: str = "127.0.0.1"  # host that others reach it at
    replica_id: str = ""  # default: host and process
    locality: str = ""  # "region/zone"
    reload: bool = False  # import changed files anew
    hang: float = 10.0  # seconds without a tick of the event loop after which the process ends itself; 0: never
    grace: float = 5.0  # seconds a call may go on after its deadline or cancellation, before the process is replaced
    drain_timeout: float = 30.0  # seconds for what is in flight
    watch_lag: float = 1.0  # how long routers may take to see a record's change
    check_every: float = 5.0  # seconds between two checks of the resources
    max_message: int = 64 * MIB  # bytes

    def __post_init__(self) -> None:
        if not self.app and not self.pipelines:
            raise ConfigError("give a file with services, or --pipelines")
        for name in ("hang", "grace", "drain_timeout", "watch_lag"):
            if getattr(self, name) < 0:
                raise ConfigError(f"--{name.replace('_', '-')} must be 0 or more seconds")

    @property
    def id(self) -> str:
        return self.replica_id or f"{socket.gethostname()}-{os.getpid()}"
