"""The documents of kind `service` and `app`: which file a service is in, and what its processes get."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inferloom.cli.up.documents import MOST_GPUS, MOST_REPLICAS
from inferloom.mesh.errors import InvalidInput

__all__ = ["MOST_CPUS", "AppSpec", "ServiceSpec", "ServiceVersion"]

MOST_CPUS = 1024


@dataclass(frozen=True, slots=True)
class ServiceVersion:
    """One version of a service: the file that declares it, and how it is run."""

    source: Path
    replicas: int = 1
    cpus: int = 0  # threads that numerical libraries may use; 0: as they like
    gpus: int = 0  # of each replica
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def alone(self) -> bool:
        """Whether it needs processes of its own, even where others share one."""
        return self.replicas > 1 or bool(self.cpus or self.gpus or self.env)

    def to_json(self) -> dict[str, Any]:
        return {
            "source": str(self.source),
            "replicas": self.replicas,
            "cpus": self.cpus,
            "gpus": self.gpus,
            "env": dict(self.env),
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> ServiceVersion:
        env = {str(key): str(text) for key, text in dict(value.get("env", {})).items()}
        numbers = (int(value.get("replicas", 1)), int(value.get("cpus", 0)), int(value.get("gpus", 0)))
        return ServiceVersion(Path(value["source"]), *numbers, env)


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """A service: its versions side by side."""

    name: str
    versions: Mapping[str, ServiceVersion]
    host: str = ""  # which `up` runs it: HOSTNAME/ADDRESS

    def to_json(self) -> dict[str, Any]:
        versions = {number: version.to_json() for number, version in self.versions.items()}
        return {"versions": versions, "host": self.host}

    @staticmethod
    def from_json(name: str, value: Mapping[str, Any]) -> ServiceSpec:
        """Raises InvalidInput where a document is none of this kind."""
        try:
            versions = {str(key): ServiceVersion.from_json(entry) for key, entry in value["versions"].items()}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidInput(
                f"service '{name}': its document cannot be read ({type(error).__name__}: {error})"
            ) from None
        for version in versions.values():
            if not 1 <= version.replicas <= MOST_REPLICAS or not 0 <= version.gpus <= MOST_GPUS:
                raise InvalidInput(
                    f"service '{name}': {version.replicas} replicas or {version.gpus} GPUs in its document"
                )
            if not 0 <= version.cpus <= MOST_CPUS:
                raise InvalidInput(f"service '{name}': {version.cpus} CPUs in its document")
        if not versions:
            raise InvalidInput(f"service '{name}': its document has no versions")
        return ServiceSpec(name, versions, str(value.get("host", "")))


@dataclass(frozen=True, slots=True)
class AppSpec:
    """A file whose steps pipelines may name."""

    name: str  # the module's
    source: Path
    host: str = ""

    def to_json(self) -> dict[str, Any]:
        return {"source": str(self.source), "host": self.host}

    @staticmethod
    def from_json(name: str, value: Mapping[str, Any]) -> AppSpec:
        """Raises InvalidInput where a document is none of this kind."""
        if not isinstance(value.get("source"), str):
            raise InvalidInput(f"app '{name}': its document names no source")
        return AppSpec(name, Path(value["source"]), str(value.get("host", "")))
