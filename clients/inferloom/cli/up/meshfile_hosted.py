"""The documents of mesh.yaml that are run by hosts, splits and policies.

- kind: service
  name: ReadDigit
  spec: {source: app.py, replicas: 2}
- kind: pipeline
  name: digits
  spec: {source: app.py}     # or the graph itself
- kind: app                  # all that a file declares
  name: shop
  spec: {source: shop.py}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inferloom.cli.up.documents import MOST_GPUS, MOST_REPLICAS
from inferloom.cli.up.located import Located
from inferloom.cli.up.service_spec import MOST_CPUS
from inferloom.mesh import policies
from inferloom.mesh.errors import InvalidInput
from inferloom.mesh.split import settled

__all__ = [
    "AppEntry",
    "PipelineEntry",
    "PolicyEntry",
    "ServiceEntry",
    "SplitEntry",
    "app",
    "pipeline",
    "policy",
    "service",
    "split",
]

SERVICE_KEYS = ("source", "replicas", "cpus", "gpus", "env")


@dataclass(frozen=True, slots=True)
class ServiceEntry:
    """A service of a file; what is None is as the file says."""

    source: Path
    where: Located
    replicas: int | None = None
    cpus: int | None = None
    gpus: int | None = None
    env: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class PipelineEntry:
    """A pipeline: of a file, or a graph."""

    where: Located
    source: Path | None = None
    graph: Mapping[str, Any] | None = None
    steps: frozenset[Path] = frozenset()  # files beside mesh.yaml that the graph's functions are in


@dataclass(frozen=True, slots=True)
class AppEntry:
    """Everything a file declares."""

    source: Path
    where: Located | None = None  # None: it was given on the command line


@dataclass(frozen=True, slots=True)
class SplitEntry:
    """A split, checked, with its ranges."""

    where: Located
    spec: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PolicyEntry:
    """A policy, checked: what it says and no more."""

    where: Located
    spec: Mapping[str, Any]


def service(name: str, spec: Located, folder: Path) -> ServiceEntry:
    """Raises ConfigError."""
    what = f"service '{name}'"
    entries = spec.mapping(what, SERVICE_KEYS)
    source = _source(entries, spec, folder, what)
    limits = {"replicas": (1, MOST_REPLICAS), "cpus": (0, MOST_CPUS), "gpus": (0, MOST_GPUS)}
    numbers = {key: entries[key].number(key, *bounds) if key in entries else None for key, bounds in limits.items()}
    env = None
    if "env" in entries:
        env = {key: value.text(f"env {key}") for key, value in entries["env"].mapping("env", ()).items()}
    return ServiceEntry(source, spec, **numbers, env=env)


def app(name: str, spec: Located, folder: Path) -> AppEntry:
    """Raises ConfigError."""
    entries = spec.mapping(f"app '{name}'", ("source",))
    return AppEntry(_source(entries, spec, folder, f"app '{name}'"), spec)


def pipeline(name: str, spec: Located, folder: Path) -> PipelineEntry:
    """Raises ConfigError: the graph is none; names node and field."""
    from inferloom.services.composer.graph import graph_from, spec_of

    what = f"pipeline '{name}'"
    value = spec.value()
    if isinstance(value, dict) and set(value) == {"source"}:
        return PipelineEntry(spec, _source(spec.mapping(what, ("source",)), spec, folder, what))
    if not isinstance(value, dict):
        raise spec.error(f"{what} needs nodes and outputs, or `source`: the Python file that declares it")
    try:
        graph = graph_from(value, name)
    except InvalidInput as error:
        raise spec.error(f"{what}: {str(error).removeprefix(f'{what}: ')}") from None
    files = {(folder / f"{module.replace('.', '/')}.py").resolve() for module in functions(spec_of(graph))}
    return PipelineEntry(spec, None, spec_of(graph), frozenset(file for file in files if file.is_file()))


def functions(value: Any) -> set[str]:
    """The modules of the functions that a graph names, anywhere in it."""
    if isinstance(value, list):
        return set().union(*(functions(item) for item in value))
    if not isinstance(value, dict):
        return set()
    own = {value["function"].partition(":")[0]} if isinstance(value.get("function"), str) else set()
    return own.union(*(functions(item) for item in value.values()))


def split(name: str, spec: Located) -> SplitEntry:
    """Raises ConfigError: it is none; says why."""
    value = spec.value()
    if not isinstance(value, dict):
        raise spec.error(f"split '{name}' must be a mapping, as {{arms: [{{name: '1', share: 90}}, ...]}}")
    try:
        return SplitEntry(spec, settled(name, value, None))
    except InvalidInput as error:
        raise spec.error(str(error)) from None


def policy(name: str, spec: Located) -> PolicyEntry:
    """Raises ConfigError: it is none; names the field."""
    try:
        return PolicyEntry(spec, policies.settled(name, spec.value()))
    except InvalidInput as error:
        raise spec.error(str(error)) from None


def _source(entries: Mapping[str, Located], spec: Located, folder: Path, what: str) -> Path:
    if "source" not in entries:
        raise spec.error(f"{what} needs 'source': the Python file that declares it")
    path = (folder / entries["source"].text(f"{what}: source")).resolve()
    if not path.is_file():
        raise entries["source"].error(f"{what}: there is no file {path}")
    if path.suffix != ".py":
        raise entries["source"].error(f"{what}: {path.name} is no Python file")
    return path
