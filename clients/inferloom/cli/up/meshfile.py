"""mesh.yaml: a list of documents, each with `kind`, `name` and `spec`.

- kind: model
  name: iris
  spec:
    source: iris.onnx
    replicas: 2

Services, pipelines, splits and policies are read by `meshfile_hosted`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from inferloom.cli.up import meshfile_hosted
from inferloom.cli.up.documents import (
    APP,
    GATEWAYS,
    KIND,
    KINDS,
    MOST_GPUS,
    MOST_REPLICAS,
    NAMED,
    PIPELINE,
    POLICY,
    SERVICE,
    SPLIT,
    MeshSpec,
    ModelSpec,
    VersionSpec,
    check_registry,
)
from inferloom.cli.up.hints_file import hinted
from inferloom.cli.up.located import Located, read
from inferloom.cli.up.meshfile_hosted import AppEntry, PipelineEntry, PolicyEntry, ServiceEntry, SplitEntry
from inferloom.mesh.errors import ConfigError, InvalidInput
from inferloom.mesh.listen import parse_address
from inferloom.mesh.names import is_name
from inferloom.mesh.registry.base import DocumentKey, Spec
from inferloom.sidecar.modelfile.recognise import recognise

__all__ = ["MeshFile", "load", "load_applied"]

FILE = "mesh.yaml"
MESH = "mesh"
REMOVED = "removed"  # kind, in mesh.applied.yaml alone: something of mesh.yaml that was taken out
MODEL_KEYS = ("source", "versions", "replicas", "gpus", "warmup", "inputs", "outputs")
VERSION_KEYS = ("source", "warmup", "inputs", "outputs")
MESH_KEYS = ("replicas", "grpc", "registry", "gateway", "http")


@dataclass(frozen=True, slots=True)
class MeshFile:
    """What a mesh.yaml declares."""

    mesh: MeshSpec = field(default_factory=MeshSpec)
    models: tuple[ModelSpec, ...] = ()
    services: Mapping[str, ServiceEntry] = field(default_factory=dict)
    pipelines: Mapping[str, PipelineEntry] = field(default_factory=dict)
    apps: tuple[AppEntry, ...] = ()
    splits: Mapping[str, SplitEntry] = field(default_factory=dict)
    policies: Mapping[str, PolicyEntry] = field(default_factory=dict)

    @property
    def sources(self) -> frozenset[Path]:
        """The Python files that have to be asked what they declare."""
        named = {entry.source for entry in self.services.values()} | {entry.source for entry in self.apps}
        return frozenset(named | {entry.source for entry in self.pipelines.values() if entry.source is not None})


def load(path: Path, replicas: int | None = None) -> MeshFile:
    """Read and check a mesh.yaml.

    Args:
        replicas: of models that do not say, where the command line gives it; else the mesh's own, else 1.

    Raises:
        ConfigError: one line that names the file, the line, the key and the cure.
    """
    documents = [_envelope(document, (MESH, *KINDS)) for document in read(path)]
    if not documents:
        raise ConfigError(
            f"{path}: declares nothing; a first document: {{kind: model, name: iris, spec: {{source: iris.onnx}}}}"
        )
    mesh = MeshSpec()
    own = [(name, spec, whole) for kind, name, spec, whole in documents if kind == MESH]
    for name, spec, _ in own[:1]:
        mesh = _mesh(spec, f"mesh '{name}'")
    for _, _, whole in own[1:]:
        raise whole.error("a second document of kind mesh; one holds for all")
    default = replicas or mesh.replicas or 1
    folder = path.parent
    readers: dict[str, Callable[[str, Located], Any]] = {
        KIND: lambda name, spec: _model(name, spec, folder, default),
        SERVICE: lambda name, spec: meshfile_hosted.service(name, spec, folder),
        PIPELINE: lambda name, spec: meshfile_hosted.pipeline(name, spec, folder),
        APP: lambda name, spec: meshfile_hosted.app(name, spec, folder),
        SPLIT: meshfile_hosted.split,
        POLICY: meshfile_hosted.policy,
    }
    found: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
    for kind, name, spec, whole in documents:
        if kind == MESH:
            continue
        for other in (kind, *(NAMED if kind in NAMED else ())):
            if name in found[other]:
                also = "" if other == kind else f", as a {other} too"
                raise whole.error(f"{kind} '{name}' is declared twice{also}")
        found[kind][name] = readers[kind](name, spec)
    if not any(found[kind] for kind in (*NAMED, APP)):
        raise ConfigError(
            f"{path}: declares no model; add one: {{kind: model, name: iris, spec: {{source: iris.onnx}}}}"
        )
    return MeshFile(
        mesh,
        tuple(found[KIND].values()),
        found[SERVICE],
        found[PIPELINE],
        tuple(found[APP].values()),
        found[SPLIT],
        found[POLICY],
    )


def load_applied(path: Path) -> tuple[dict[DocumentKey, Spec], frozenset[DocumentKey]]:
    """The documents of a mesh.applied.yaml, and the keys of those that were taken out.

    Raises:
        ConfigError: as `load`.
    """
    documents = [_envelope(document, (*KINDS, REMOVED)) for document in read(path)]
    kept: dict[DocumentKey, Spec] = {}
    removed: set[DocumentKey] = set()
    for kind, name, spec, _ in documents:
        if kind == KIND:
            kept[kind, name] = _model(name, spec, path.parent, 1).to_json()
        elif kind == REMOVED:
            entries = spec.mapping("removed", ("kind",))
            removed.add((entries["kind"].text("kind") if "kind" in entries else KIND, name))
        else:
            value = spec.value()
            if not isinstance(value, dict):
                raise spec.error(f"{kind} '{name}': its spec must be a mapping")
            kept[kind, name] = value
    return kept, frozenset(removed)


def _envelope(document: Located, kinds: Sequence[str]) -> tuple[str, str, Located, Located]:
    entries = document.mapping("a document", ("kind", "name", "spec"))
    for key in ("kind", "name", "spec"):
        if key not in entries:
            raise document.error(f"a document needs '{key}'")
    kind = entries["kind"].text("kind")
    if kind not in kinds:
        raise entries["kind"].error(f"unknown kind '{kind}'; known are {', '.join(kinds)}")
    name = entries["name"].text("name")
    if not is_name(name):
        raise entries["name"].error(f"'{name}' is no name: 1 to 128 letters, digits, '.', '_' or '-'")
    return kind, name, entries["spec"], document


def _mesh(spec: Located, what: str) -> MeshSpec:
    entries = spec.mapping(what, MESH_KEYS)
    if "gateway" in entries and (gateway := entries["gateway"].text("gateway")) not in GATEWAYS:
        raise entries["gateway"].error(f"gateway '{gateway}' is none of {', '.join(GATEWAYS)}")
    checks: dict[str, Callable[[str], object]] = {
        "grpc": lambda text: parse_address(text, "grpc"),
        "registry": check_registry,
        "http": lambda text: text == "off" or parse_address(text, "http"),
    }
    for key, check in checks.items():
        if key in entries:
            try:
                check(entries[key].text(key))
            except ConfigError as error:
                raise entries[key].error(str(error)) from None
    return MeshSpec(
        entries["replicas"].number("replicas", 1, MOST_REPLICAS) if "replicas" in entries else None,
        entries["grpc"].text("grpc") if "grpc" in entries else None,
        f"{entries['grpc'].place}: grpc" if "grpc" in entries else "",
        entries["registry"].text("registry") if "registry" in entries else None,
        entries["http"].text("http") if "http" in entries else None,
        f"{entries['http'].place}: http" if "http" in entries else "",
        entries["gateway"].text("gateway") if "gateway" in entries else None,
    )


def _model(name: str, spec: Located, folder: Path, default: int) -> ModelSpec:
    what = f"model '{name}'"
    entries = spec.mapping(what, MODEL_KEYS)
    if ("source" in entries) == ("versions" in entries):
        raise spec.error(f"{what} needs either 'source' (one file) or 'versions' (a mapping of number to file)")
    if "source" in entries:
        single = {key: entries[key] for key in VERSION_KEYS if key in entries}
        versions = {"1": _version(single, folder, what)}
    else:
        for key in ("warmup", "inputs", "outputs"):
            if key in entries:
                raise entries[key].error(
                    f"{what}: '{key}' belongs to each version: versions: {{1: {{source: ..., {key}: ...}}}}"
                )
        versions = {}
        for number, entry in entries["versions"].mapping(f"{what}, versions", ()).items():
            if not number.isdecimal() or number.startswith("0"):
                raise entry.error(f"{what}: version '{number}' must be a whole number from 1")
            plain = isinstance(entry.node, yaml.ScalarNode)
            parts = {"source": entry} if plain else entry.mapping(f"{what}, version {number}", VERSION_KEYS)
            if "source" not in parts:
                raise entry.error(f"{what}, version {number}: needs 'source'")
            versions[number] = _version(parts, folder, what)
        if not versions:
            raise entries["versions"].error(f"{what}: 'versions' is empty")
    model = ModelSpec(
        name,
        versions,
        entries["replicas"].number("replicas", 1, MOST_REPLICAS) if "replicas" in entries else default,
        entries["gpus"].number("gpus", 0, MOST_GPUS) if "gpus" in entries else 0,
    )
    return hinted(model)


def _version(entries: dict[str, Located], folder: Path, what: str) -> VersionSpec:
    return VersionSpec(
        _model_file(entries["source"], folder, what),
        _existing(entries["warmup"], folder, what) if "warmup" in entries else None,
        tuple(item.text("an input") for item in entries["inputs"].items("inputs")) if "inputs" in entries else (),
        tuple(item.text("an output") for item in entries["outputs"].items("outputs")) if "outputs" in entries else (),
    )


def _model_file(entry: Located, folder: Path, what: str) -> Path:
    path = (folder / entry.text(f"{what}: a path")).resolve()
    try:
        recognise(path)
    except InvalidInput as error:
        raise entry.error(f"{what}: {error}") from None
    return path


def _existing(entry: Located, folder: Path, what: str) -> Path:
    path = (folder / entry.text(f"{what}: a path")).resolve()
    if not path.exists():
        raise entry.error(f"{what}: there is no file {path}")
    return path
