"""Waiting until what was declared is served, or until it is clear that it will not be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from inferloom.cli.up.documents import ModelSpec
from inferloom.mesh.catalog import Catalog, Model
from inferloom.mesh.errors import InferloomError, InvalidInput
from inferloom.mesh.registry.base import Registry

__all__ = ["LoadFailed", "Progress", "TooSlow", "missing", "wait_until_served"]

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


def missing(spec: ModelSpec, model: Model | None) -> _Missing | None:
    """What of a model is not served yet; None where all of it is."""
    replicas = model.replicas if model is not None else ()
    numbers = [] if _brings_its_own(spec) else list(spec.versions)
    serving = [r for r in replicas if r.usable and all(number in r.versions for number in numbers)]
    if len(serving) >= spec.replicas:
        return None
    why = next((r.problem for r in replicas if r.problem), "")
    return _Missing(f"{spec.name} {len(serving)}/{spec.replicas}", why)


def _brings_its_own(spec: ModelSpec) -> bool:
    return any(version.source.is_dir() for version in spec.versions.values())


async def wait_until_served(
    registry: Registry,
    specs: Mapping[str, ModelSpec],
    trouble: Callable[[], Mapping[str, str]],
    progress: Progress,
    timeout: float,
) -> None:
    """Until every model has all its replicas serving every version.

    Args:
        trouble: problems beside those in the records (a sidecar that cannot start, a document that cannot be placed).
        timeout: seconds.

    Raises:
        LoadFailed: one of them cannot be.
        TooSlow: one of them is not within the time.
    """
    try:
        async with asyncio.timeout(timeout):
            while True:
                open_ = _open(specs, registry.catalog)
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
        waiting = ", ".join(entry.what for entry in _open(specs, registry.catalog))
        raise TooSlow(f"not ready after {timeout:.0f} s: {waiting}; the logs say more") from None


def _open(specs: Mapping[str, ModelSpec], catalog: Catalog) -> list[_Missing]:
    found = (missing(spec, catalog.models.get(name)) for name, spec in specs.items())
    return [entry for entry in found if entry is not None]
