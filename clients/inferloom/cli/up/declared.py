"""What `up FILE|DIR` was asked to serve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from inferloom.cli.up import meshfile
from inferloom.cli.up.documents import MeshSpec, ModelSpec, VersionSpec
from inferloom.mesh.errors import ConfigError, InvalidInput
from inferloom.mesh.names import check_name
from inferloom.sidecar.modelfile.recognise import name_from, recognise

__all__ = ["Declared", "declared", "split_name"]


@dataclass(frozen=True, slots=True)
class Declared:
    """The mesh's own settings and its models; `folder` where they come from a mesh.yaml."""

    mesh: MeshSpec
    models: tuple[ModelSpec, ...]
    folder: Path | None = None
    notes: tuple[str, ...] = ()  # for the user: what was made of a folder


def declared(
    source: Path,
    replicas: int | None = None,
    name: str | None = None,
    gpus: int = 0,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
) -> Declared:
    """The models of a file, of a folder with a mesh.yaml, or of a folder of model files.

    Args:
        replicas: of each model that does not say itself.
        name: NAME or NAME:VERSION for a single file; by default the file's own name, version 1.
        inputs, outputs: types of a single file that does not say, as "x:FP32[-1,4]".

    Raises:
        InvalidInput: there is nothing to serve; says what was looked for.
    """
    if not source.exists():
        recognise(source)  # says so, with near names
    file = source / meshfile.FILE if source.is_dir() else source
    if file.name.endswith((".yaml", ".yml")) and file.exists():
        for option, given in (("--as", name), ("--input", inputs), ("--output", outputs)):
            if given:
                raise ConfigError(f"{option} is for a single file; {file} describes its models itself")
        content = meshfile.load(file, replicas)
        return Declared(content.mesh, content.models, file.parent)
    if not source.is_dir() or _is_model(source):
        model, version = split_name(name or name_from(source))
        found_as = recognise(source).description
        notes = (f"folder '{source}' is one model, '{model}': {found_as}",) if source.is_dir() else ()
        single = _single(source, model, version or "1", replicas or 1, gpus, tuple(inputs), tuple(outputs))
        return Declared(MeshSpec(), (single,), notes=notes)
    paths = [path for path in sorted(source.iterdir()) if not path.name.startswith(".")]
    found: dict[str, Path] = {}
    for path in filter(_is_model, paths):
        name = name_from(path)
        if name in found:
            raise InvalidInput(
                f"'{found[name]}' and '{path}' would both be called '{name}'; rename one, or name them in {source}/mesh.yaml"
            )
        found[name] = path
    left_out = tuple(path.name for path in paths if path not in found.values())
    if not found:
        has = f"; it has {', '.join(left_out[:5])}" + (", ..." if len(left_out) > 5 else "") if left_out else ""
        raise InvalidInput(
            f"folder '{source}' has no mesh.yaml and no model file{has}; `inferloom up model.onnx` serves a file"
        )
    models = tuple(_single(path, key, "1", replicas or 1, gpus) for key, path in found.items())
    return Declared(MeshSpec(), models, notes=(f"left out, no models: {', '.join(left_out)}",) if left_out else ())


def split_name(text: str) -> tuple[str, str]:
    """ "iris:2" as ("iris", "2"); no version is "".

    Raises:
        InvalidInput: the name or the version is none.
    """
    name, _, version = text.partition(":")
    check_name(name)
    if name.startswith("."):
        raise InvalidInput(f"'{text}': a model's name does not begin with a dot")
    if version and (not version.isdecimal() or int(version) < 1):
        raise InvalidInput(f"'{text}': a version is a whole number from 1, as in {name}:2")
    return name, version.lstrip("0")


def _single(
    path: Path,
    name: str,
    version: str,
    replicas: int,
    gpus: int,
    inputs: tuple[str, ...] = (),
    outputs: tuple[str, ...] = (),
) -> ModelSpec:
    return ModelSpec(name, {version: VersionSpec(path.resolve(), None, inputs, outputs)}, replicas, gpus)


def _is_model(path: Path) -> bool:
    try:
        recognise(path)
    except InvalidInput:
        return False
    return True
