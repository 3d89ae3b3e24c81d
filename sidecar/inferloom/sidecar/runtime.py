"""Where a Triton server comes from: the managed environment, PATH, or Docker."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from inferloom.mesh.errors import ConfigError
from inferloom.sidecar import managed
from inferloom.sidecar.flags import flags
from inferloom.sidecar.machine import Check

__all__ = ["DockerRuntime", "PathRuntime", "Runtime", "find"]

IMAGE = "nvcr.io/nvidia/tritonserver"
DEFAULT_TAG = "25.08-py3"


class Runtime(Protocol):
    """A way to run tritonserver."""

    @property
    def origin(self) -> str:
        """ "managed", "path" or "docker"."""

    @property
    def version(self) -> str:
        """Triton's version, "" where only the running server can tell."""

    @property
    def backends(self) -> Path | None:
        """The backend directory it uses by itself, where that is not the server's own."""

    def command(
        self,
        *,
        repository: Path,
        http_port: int,
        grpc_port: int,
        metrics_port: int,
        host: str = "127.0.0.1",
        backend_directory: Path | None = None,
        secret: str = "",
        extra: Sequence[str] = (),
    ) -> list[str]:
        """The command line of one server. See `flags.flags` for the arguments."""

    def environment(self, **extra: str) -> dict[str, str]:
        """The whole environment of that server's process."""

    def cleanup(self, grpc_port: int) -> list[str]:
        """A command to run once that server has ended; empty: none."""

    async def checks(self) -> list[Check]:
        """(what, whether it is well, finding or cure) for `inferloom doctor`."""


@dataclass(frozen=True)
class PathRuntime:
    """`tritonserver` on PATH, as in NVIDIA's container."""

    program: str
    origin: str = "path"
    version: str = ""
    backends: Path | None = None

    def command(
        self,
        *,
        repository: Path,
        http_port: int,
        grpc_port: int,
        metrics_port: int,
        host: str = "127.0.0.1",
        backend_directory: Path | None = None,
        secret: str = "",
        extra: Sequence[str] = (),
    ) -> list[str]:
        return [
            self.program,
            *flags(
                repository=str(repository),
                backend_directory=str(backend_directory) if backend_directory else None,
                http_port=http_port,
                grpc_port=grpc_port,
                metrics_port=metrics_port,
                host=host,
                secret=secret,
                extra=extra,
            ),
        ]

    def environment(self, **extra: str) -> dict[str, str]:
        return {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **extra}

    def cleanup(self, grpc_port: int) -> list[str]:
        return []

    async def checks(self) -> list[Check]:
        return [("tritonserver", True, self.program)]


@dataclass(frozen=True)
class DockerRuntime:
    """NVIDIA's container through the `docker` command.

    The container's ports are published on `host` alone. A SIGKILL of the sidecar ends the `docker run` client but not
    the container, which has to be removed by hand.
    """

    program: str
    tag: str = DEFAULT_TAG
    gpus: tuple[str, ...] = ()  # devices given to the container; empty: none
    origin: str = "docker"
    version: str = ""
    backends: Path | None = None
    passed: tuple[str, ...] = field(default=("OTEL_EXPORTER_OTLP_ENDPOINT",))  # variables the container is given

    def command(
        self,
        *,
        repository: Path,
        http_port: int,
        grpc_port: int,
        metrics_port: int,
        host: str = "127.0.0.1",
        backend_directory: Path | None = None,
        secret: str = "",
        extra: Sequence[str] = (),
    ) -> list[str]:
        published = [
            option
            for address, port in ((host, http_port), (host, grpc_port), ("127.0.0.1", metrics_port))
            for option in ("--publish", f"{address}:{port}:{port}")
        ]
        run = [self.program, "run", "--rm", "--init", "--name", container(grpc_port), "--shm-size=1g", *published]
        run += ["--volume", f"{repository.absolute()}:/models:ro", "--env", "PYTHONDONTWRITEBYTECODE=1"]
        for name in self.passed:
            run += ["--env", name]
        if self.gpus:
            run += ["--gpus", "all" if self.gpus == ("all",) else f'"device={",".join(self.gpus)}"']
        if backend_directory is not None:
            run += ["--volume", f"{backend_directory.absolute()}:/backends:ro"]
        options = flags(
            repository="/models",
            backend_directory="/backends" if backend_directory is not None else None,
            http_port=http_port,
            grpc_port=grpc_port,
            metrics_port=metrics_port,
            host="0.0.0.0",  # noqa: S104 inside the container; what is reachable from outside is what is published
            metrics_host="0.0.0.0",  # noqa: S104
            secret=secret,
            extra=extra,
        )
        return [*run, f"{IMAGE}:{self.tag}", "tritonserver", *options]

    def environment(self, **extra: str) -> dict[str, str]:
        return {**os.environ, **extra}

    def cleanup(self, grpc_port: int) -> list[str]:
        return [self.program, "rm", "--force", container(grpc_port)]

    async def checks(self) -> list[Check]:
        return [("docker", True, f"{self.program}, image {IMAGE}:{self.tag}")]


def container(grpc_port: int) -> str:
    """The container's name: ports are unique on a machine."""
    return f"inferloom-{grpc_port}"


def find(triton: str = "managed", *, gpus: tuple[str, ...] = (), environ: Mapping[str, str] = os.environ) -> Runtime:
    """The runtime that `triton` names: "managed", "path" or "docker[:TAG]".

    Raises:
        ConfigError: it is not there; the message has the cure.
    """
    kind, _, tag = triton.partition(":")
    if kind == "managed" and not tag:
        return managed.find(environ=environ)
    if kind == "path" and not tag:
        program = shutil.which("tritonserver", path=environ.get("PATH"))
        if program is None:
            raise ConfigError("no tritonserver on PATH: run inside NVIDIA's Triton container, or use --triton managed")
        return PathRuntime(program)
    if kind == "docker":
        program = shutil.which("docker", path=environ.get("PATH"))
        if program is None:
            raise ConfigError("no docker on PATH: install Docker, or use --triton managed")
        return DockerRuntime(program, tag or DEFAULT_TAG, gpus)
    raise ConfigError(f"no Triton runtime {triton!r}: it is managed, path, docker or docker:TAG")
