"""Waiting until what was declared is served, or until it is clear that it will not be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from inferloom.cli.up.documents import PIPELINE, ModelSpec
from inferloom.cli.up.expand import models_of, services_of
from inferloom.cli.up.problems import told
from inferloom.cli.up.service_spec import ServiceSpec
from inferloom.mesh.catalog import Catalog, Model
from inferloom.mesh.errors import InferloomError, InvalidInput
from inferloom.mesh.registry.base import DocumentKey, Registry, Spec

__all__ = [
    "LoadFailed",
    "Progress",
    "TooSlow",
    "missing",
    "missing_pipeline",
    "missing_service",
    "wait_until_served",
]

SETTLE = 0.2  # seconds between looks at what is no document and no record (a sidecar that could not start)


class LoadFailed(InvalidInput):
    """A model cannot be served as it is; the message says why."""


class TooSlow(InferloomError):
    """A model is not served within the time; nothing says that it will not be."""


Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Missing:
    what: str
    why: str  # "" while it is only not there yet


Look = Callable[[Catalog], _Missing | None]


def missing(spec: ModelSpec, model: Model | None) -> _Missing | None:
    """What of a model is not served yet; None where all of it is."""
    replicas = model.replicas if model is not None else ()
    numbers = [] if _brings_its_own(spec) else list(spec.versions)
    serving = [r for r in replicas if r.usable and all(number in r.versions for number in numbers)]
    if len(serving) >= spec.replicas:
        return None
    return _Missing(f"{spec.name} {len(serving)}/{spec.replicas}", told(replicas))


def _missing_model(name: str, spec: ModelSpec, catalog: Catalog) -> _Missing | None:
    return missing(spec, catalog.models.get(name))


def _brings_its_own(spec: ModelSpec) -> bool:
    return any(version.source.is_dir() for version in spec.versions.values())


def missing_service(spec: ServiceSpec, catalog: Catalog) -> _Missing | None:
    """What of a service is not served yet. One without a default method is known by the names of the others."""
    replicas = [r for name, m in catalog.models.items() if _is_method(name, spec.name) for r in m.replicas]
    for number, version in spec.versions.items():
        serving = {r.id for r in replicas if r.usable and number in r.versions}
        if len(serving) < version.replicas:
            return _Missing(f"{spec.name} {len(serving)}/{version.replicas}", told(replicas))
    return None


def missing_pipeline(name: str, catalog: Catalog) -> _Missing | None:
    """Whether a pipeline is not served yet."""
    model = catalog.models.get(name)
    replicas = model.replicas if model is not None else ()
    if any(replica.usable for replica in replicas):
        return None
    return _Missing(name, "")  # a problem may be one that passes: see `problems.Standing`


def _is_method(name: str, service: str) -> bool:
    return name == service or name.startswith(f"{service}.")


async def wait_until_served(
    registry: Registry,
    wanted: Mapping[DocumentKey, Spec],
    trouble: Callable[[], Mapping[str, str]],
    progress: Progress,
    timeout: float,
) -> None:
    """Until every model and service has all its replicas serving every version, and every pipeline is served.

    Args:
        wanted: documents; those that are not waited for (splits, files) may be among them.
        trouble: problems beside those in the records (a sidecar that cannot start, a document that cannot be carried out).
        timeout: seconds.

    Raises:
        LoadFailed: one of them cannot be.
        TooSlow: one of them is not within the time.
    """
    looks = list(_looks(wanted))
    try:
        async with asyncio.timeout(timeout):
            while True:
                open_ = _open(looks, registry.catalog)
                if not open_:
                    return
                for text in trouble().values():
                    raise LoadFailed(text)
                for entry in open_:
                    if entry.why:
                        raise LoadFailed(f"{entry.what.split(' ')[0]}: {entry.why}")
                progress("waiting for " + ", ".join(entry.what for entry in open_))
                await asyncio.sleep(SETTLE)
    except TimeoutError:
        waiting = ", ".join(entry.what for entry in _open(looks, registry.catalog))
        raise TooSlow(f"not ready after {timeout:.0f} s: {waiting}; the logs say more") from None


def _looks(wanted: Mapping[DocumentKey, Spec]) -> Iterator[Look]:
    for name, model in models_of(wanted).items():
        yield partial(_missing_model, name, model)
    for service in services_of(wanted).values():
        yield partial(missing_service, service)
    for kind, name in wanted:
        if kind == PIPELINE:
            yield partial(missing_pipeline, name)


def _open(looks: Iterable[Look], catalog: Catalog) -> list[_Missing]:
    found = (look(catalog) for look in looks)
    return [entry for entry in found if entry is not None]
