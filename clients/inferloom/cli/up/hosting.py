"""Which host process runs what. Pure: documents in, places out.

With the registry in one process the services of a file share a process, and so do the pipelines; a service that asks for
several replicas, for CPUs, GPUs or an environment has processes of its own. With Consul each service has. What runs already
keeps its GPUs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from inferloom.cli.up.service_spec import AppSpec, ServiceSpec, ServiceVersion
from inferloom.mesh.errors import InvalidInput

__all__ = ["HostPlace", "host_places"]

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
PIPELINES = "pipelines"


@dataclass(frozen=True, slots=True)
class HostPlace:
    """One `inferloom host` process."""

    id: str
    sources: tuple[Path, ...]  # files with services or steps
    services: tuple[str, ...]  # those of them that it serves
    pipelines: bool = False
    gpus: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)


def host_places(
    services: Iterable[ServiceSpec],
    apps: Iterable[AppSpec],
    *,
    pipelines: bool,
    shared: bool,
    before: Mapping[str, HostPlace] = {},
    gpus: Sequence[str] = (),
) -> dict[str, HostPlace]:
    """Places by id.

    Args:
        pipelines: whether there are any.
        shared: services that ask for nothing share one process.
        before: where things are now.
        gpus: ids of the GPUs that services may have.

    Raises:
        InvalidInput: more GPUs are asked for than there are.
    """
    places: dict[str, HostPlace] = {}
    together: dict[Path, list[str]] = {}
    alone: list[tuple[str, str, ServiceVersion]] = []
    for spec in sorted(services, key=lambda spec: spec.name):
        for number, version in spec.versions.items():
            if shared and not version.alone:
                together.setdefault(version.source, []).append(spec.name)
            else:
                alone.append((spec.name, number, version))
    with_steps = tuple(sorted({app.source for app in apps}))
    for source, names in sorted(together.items()):
        key = _free(f"host-{source.stem}", places)
        # A composer without pipelines costs nothing, and a process that has one need not be started again for the first.
        composes = with_steps in ((), (source,))
        places[key] = HostPlace(key, (source,), tuple(names), composes)
    if pipelines and not any(place.pipelines for place in places.values()):
        places[PIPELINES] = HostPlace(PIPELINES, with_steps, (), True)
    for place in _own(alone, before, gpus):
        places[place.id] = place
    return places


def _own(
    services: Sequence[tuple[str, str, ServiceVersion]], before: Mapping[str, HostPlace], gpus: Sequence[str]
) -> list[HostPlace]:
    wanted = sum(version.gpus * version.replicas for _, _, version in services)
    if wanted > len(gpus):
        names = ", ".join(f"'{name}'" for name, _, version in services if version.gpus)
        raise InvalidInput(f"service {names}: {wanted} GPUs are asked for, and {len(gpus) or 'none'} are free here")
    entries = {_id(name, number, n): (name, v) for name, number, v in services for n in range(v.replicas)}
    kept = {
        key: before[key].gpus
        for key, (_, version) in entries.items()
        if key in before and len(before[key].gpus) == version.gpus
    }
    taken = {gpu for ids in kept.values() for gpu in ids}
    free = [gpu for gpu in gpus if gpu not in taken]
    places = []
    for key, (name, version) in entries.items():
        ids = kept.get(key)
        if ids is None:
            ids = tuple(free[: version.gpus])
            del free[: version.gpus]
        places.append(HostPlace(key, (version.source,), (name,), False, ids, _environment(version)))
    return places


def _environment(version: ServiceVersion) -> dict[str, str]:
    threads = dict.fromkeys(THREADS, str(version.cpus)) if version.cpus else {}
    return threads | dict(version.env)


def _id(name: str, number: str, replica: int) -> str:
    return f"{name}-{replica}" if number == "1" else f"{name}-v{number}-{replica}"


def _free(name: str, taken: Mapping[str, HostPlace]) -> str:
    """Two files of one name in different folders."""
    number, key = 2, name
    while key in taken:
        number, key = number + 1, f"{name}-{number}"
    return key
