"""mesh.yaml: a list of documents, each with `kind`, `name` and `spec`.

- kind: model
  name: iris
  spec:
    source: iris.onnx
    replicas: 2
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from inferloom.cli.up.documents import MOST_GPUS, MOST_REPLICAS, MeshSpec, ModelSpec, VersionSpec, check_registry
from inferloom.cli.up.located import Located, read
from inferloom.mesh.errors import ConfigError, InvalidInput
from inferloom.mesh.listen import parse_address
from inferloom.mesh.names import is_name
from inferloom.sidecar.modelfile.recognise import recognise

__all__ = ["MeshFile", "load", "load_applied"]

FILE = "mesh.yaml"
KINDS = ("mesh", "model")
REMOVED = "removed"  # kind, in mesh.applied.yaml alone: a model of mesh.yaml that was taken out
MODEL_KEYS = ("source", "versions", "replicas", "gpus", "warmup", "inputs", "outputs")
VERSION_KEYS = ("source", "warmup", "inputs", "outputs")
MESH_KEYS = ("replicas", "grpc", "registry", "gateway")


@dataclass(frozen=True, slots=True)
class MeshFile:
    """What a mesh.yaml declares."""

    mesh: MeshSpec = field(default_factory=MeshSpec)
    models: tuple[ModelSpec, ...] = ()


def load(path: Path, replicas: int | None = None) -> MeshFile:
    """Read and check a mesh.yaml.

    Args:
        replicas: of models that do not say, where the command line gives it; else the mesh's own, else 1.

    Raises:
        ConfigError: one line that names the file, the line, the key and the cure.
    """
    documents = [_envelope(document) for document in read(path)]
    if not documents:
        raise ConfigError(
            f"{path}: declares nothing; a first document: {{kind: model, name: iris, spec: {{source: iris.onnx}}}}"
        )
    mesh = MeshSpec()
    own = [(name, spec, whole) for kind, name, spec, whole in documents if kind == "mesh"]
    for name, spec, _ in own[:1]:
        mesh = _mesh(spec, f"mesh '{name}'")
    for _, _, whole in own[1:]:
        raise whole.error("a second document of kind mesh; one holds for all")
    default = replicas or mesh.replicas or 1
    models: dict[str, ModelSpec] = {}
    for kind, name, spec, whole in documents:
        if kind == "model":
            if name in models:
                raise whole.error(f"model '{name}' is declared twice")
            models[name] = _model(name, spec, path.parent, default)
    if not models:
        raise ConfigError(
            f"{path}: declares no model; add one: {{kind: model, name: iris, spec: {{source: iris.onnx}}}}"
        )
    return MeshFile(mesh, tuple(models.values()))


def load_applied(path: Path) -> tuple[tuple[ModelSpec, ...], frozenset[str]]:
    """The models of a mesh.applied.yaml, and the names of those that were taken out.

    Raises:
        ConfigError: as `load`.
    """
    documents = [_envelope(document, ("model", REMOVED)) for document in read(path)]
    models = tuple(_model(name, spec, path.parent, 1) for kind, name, spec, _ in documents if kind == "model")
    return models, frozenset(name for kind, name, _, _ in documents if kind == REMOVED)


def _envelope(document: Located, kinds: Sequence[str] = KINDS) -> tuple[str, str, Located, Located]:
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
    if "gateway" in entries and (gateway := entries["gateway"].text("gateway")) != "python":
        raise entries["gateway"].error(f"gateway '{gateway}' is not available; only 'python' is")
    for key, check in (("grpc", lambda text: parse_address(text, "grpc")), ("registry", check_registry)):
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
    return ModelSpec(
        name,
        versions,
        entries["replicas"].number("replicas", 1, MOST_REPLICAS) if "replicas" in entries else default,
        entries["gpus"].number("gpus", 0, MOST_GPUS) if "gpus" in entries else 0,
    )


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
