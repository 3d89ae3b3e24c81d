"""What `up` has found out and checked before it starts anything."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

from inferloom.cli.gpus import gpu_ids
from inferloom.cli.up.applied import Applied
from inferloom.cli.up.declared import Declared, declared
from inferloom.cli.up.documents import PIPELINE, SERVICE, ModelSpec, check_registry
from inferloom.cli.up.expand import Wanted, models_of, services_of
from inferloom.cli.up.hosting import host_places
from inferloom.cli.up.output import Output
from inferloom.cli.up.owned import Mine
from inferloom.cli.up.placement import place
from inferloom.cli.up.ports import Ports, choose_ports
from inferloom.cli.up.versions import check_versions
from inferloom.mesh.errors import ConfigError
from inferloom.mesh.listen import check_free, parse_address

__all__ = ["Settled", "UpOptions", "settle"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UpOptions:
    """Options of `up`; None: as mesh.yaml says, else the default."""

    source: Path
    registry: str | None = None  # memory, consul or consul://HOST:PORT
    grpc: str | None = None
    admin: str = "127.0.0.1:0"
    replicas: int | None = None
    name: str | None = None
    gpus: int = 0
    inputs: tuple[str, ...] = ()  # "x:FP32[-1,4]", of a single file that does not say
    outputs: tuple[str, ...] = ()
    triton: str = "managed"
    timeout: float = 600.0  # seconds until everything declared must be served
    drain_timeout: float = 10.0
    max_message_mib: int = 64
    http: str | None = None  # HOST:PORT of JSON, or off
    gateway: str | None = None  # python or envoy
    reload: bool | None = None  # follow the Python files; None: where one was given on the command line


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """Ports are chosen, sources read, counts checked."""

    wanted: Declared
    documents: Wanted  # mesh.yaml's, with what was applied later
    applied: Applied | None
    registry: str  # as `--registry` takes it
    ports: Ports
    host: str  # how the documents name this mesh: HOSTNAME/ADDRESS
    mine: Mine
    gpus: tuple[str, ...]
    reload: bool

    @property
    def models(self) -> dict[str, ModelSpec]:
        return models_of(self.documents)

    @property
    def named(self) -> list[str]:
        """Services and pipelines."""
        return [name for kind, name in self.documents if kind in (SERVICE, PIPELINE)]


async def settle(options: UpOptions, output: Output) -> Settled:
    """Raises InvalidInput, ConfigError: something is wrong; one line."""
    wanted = await declared(
        options.source, options.replicas, options.name, options.gpus, options.inputs, options.outputs
    )
    registry = options.registry or wanted.mesh.registry or "memory"
    try:
        check_registry(registry)
    except ConfigError as error:
        raise ConfigError(f"--registry: {error}") from None
    ports, notes = choose_ports(wanted.mesh, grpc=options.grpc, http=options.http, gateway=options.gateway)
    check_free(parse_address(options.admin, "--admin"), "--admin")
    host = f"{socket.gethostname()}/{ports.public}"
    mine = Mine(host, alone=not registry.startswith("consul://"))
    documents = wanted.documents(host)
    applied = Applied(wanted.folder, documents, host, mine) if wanted.folder is not None else None
    if applied is not None:
        documents = applied.documents()
    for note in (*notes, *wanted.notes):
        output.note(note)
    gpus = await gpu_ids()
    _check(documents, gpus)
    return Settled(
        wanted=wanted,
        documents=documents,
        applied=applied,
        registry=registry,
        ports=ports,
        host=host,
        mine=mine,
        gpus=gpus,
        reload=wanted.folder is None and bool(wanted.described) if options.reload is None else options.reload,
    )


def _check(documents: Wanted, gpus: tuple[str, ...]) -> None:
    """Are there enough GPUs, and do versions agree?"""
    models = models_of(documents)
    taken = {gpu for entry in place(models.values(), {}, gpus).values() for gpu in entry.gpus}
    free = [gpu for gpu in gpus if gpu not in taken]
    host_places(services_of(documents).values(), (), pipelines=False, shared=True, gpus=free)
    for spec in models.values():
        check_versions(spec)
