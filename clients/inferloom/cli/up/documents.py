"""The documents `up` understands: what a mesh is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inferloom.mesh.errors import ConfigError, InvalidInput

__all__ = [
    "APP",
    "ENVOY",
    "GATEWAYS",
    "KIND",
    "KINDS",
    "NAMED",
    "PIPELINE",
    "POLICY",
    "PROBLEM",
    "SERVICE",
    "SPLIT",
    "MeshSpec",
    "ModelSpec",
    "VersionSpec",
    "check_registry",
]

KIND = "model"
SERVICE = "service"  # users' Python, in a host
APP = "app"  # a file of theirs, whose steps pipelines may name
PIPELINE = "pipeline"  # a graph
SPLIT = "split"  # who gets which version
POLICY = "policy"  # how a model's traffic is treated
KINDS = (KIND, SERVICE, APP, PIPELINE, SPLIT, POLICY)
NAMED = (KIND, SERVICE, PIPELINE)  # those that are called by their names, which must differ
PROBLEM = "problem"  # of the same name: why a document is not carried out, and which version of it
ENVOY = "envoy"
GATEWAYS = ("python", ENVOY)  # what clients reach: the router itself, or Envoy in front of it
MOST_REPLICAS = 64
MOST_GPUS = 64


@dataclass(frozen=True, slots=True)
class VersionSpec:
    """One version of a model: where its file is, and what goes with it."""

    source: Path  # a model file, or a folder in Triton's layout
    warmup: Path | None = None  # a first request with its known answer
    inputs: tuple[str, ...] = ()  # "x:FP32[-1,4]", for files that do not say
    outputs: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "source": str(self.source),
            "warmup": str(self.warmup) if self.warmup else None,
            "inputs": list(self.inputs),
            "outputs": list(self.outputs),
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> VersionSpec:
        warmup = value.get("warmup")
        return VersionSpec(
            Path(value["source"]),
            Path(warmup) if warmup else None,
            tuple(value.get("inputs", ())),
            tuple(value.get("outputs", ())),
        )


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model: its versions side by side, and how many replicas of it there shall be."""

    name: str
    versions: Mapping[str, VersionSpec] = field(default_factory=dict)
    replicas: int = 1
    gpus: int = 0  # of each replica
    host: str = ""  # which `up` serves it, where several share a Consul: HOSTNAME/ADDRESS
    hints: Mapping[str, Any] = field(default_factory=dict)  # about its typed face: services.proto.hints.Hints as JSON

    def to_json(self) -> dict[str, Any]:
        return {
            "versions": {number: version.to_json() for number, version in self.versions.items()},
            "replicas": self.replicas,
            "gpus": self.gpus,
            "host": self.host,
            **({"hints": dict(self.hints)} if self.hints else {}),
        }

    @staticmethod
    def from_json(name: str, value: Mapping[str, Any]) -> ModelSpec:
        """Raises InvalidInput where a document is none of this kind, or was written by something newer."""
        unknown = sorted(value.keys() - {"versions", "replicas", "gpus", "host", "hints"})
        if unknown:
            raise InvalidInput(
                f"model '{name}': unknown key '{unknown[0]}' in its document: written by a newer inferloom"
            )
        try:
            versions = {str(int(number)): VersionSpec.from_json(entry) for number, entry in value["versions"].items()}
            replicas, gpus, host = int(value.get("replicas", 1)), int(value.get("gpus", 0)), str(value.get("host", ""))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidInput(
                f"model '{name}': its document cannot be read ({type(error).__name__}: {error})"
            ) from None
        if not versions or not 1 <= replicas <= MOST_REPLICAS or not 0 <= gpus <= MOST_GPUS:
            raise InvalidInput(f"model '{name}': no versions, {replicas} replicas or {gpus} GPUs in its document")
        return ModelSpec(name, versions, replicas, gpus, host, dict(value.get("hints") or {}))


@dataclass(frozen=True, slots=True)
class MeshSpec:
    """What holds for the whole mesh. None: as the command line says, or its default."""

    replicas: int | None = None  # of each model that does not say itself
    grpc: str | None = None  # HOST:PORT
    grpc_place: str = ""  # where the file says so, for error messages
    registry: str | None = None
    http: str | None = None  # HOST:PORT of JSON, or off
    http_place: str = ""  # where the file says so
    gateway: str | None = None  # one of GATEWAYS


def check_registry(text: str) -> None:
    """Raises ConfigError where a text names none of the registries that `up` can run with."""
    if text not in ("memory", "consul") and not text.startswith("consul://"):
        raise ConfigError(f"{text!r} is none of memory, consul, consul://HOST:PORT")
