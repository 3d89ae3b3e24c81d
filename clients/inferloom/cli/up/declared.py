"""What `up FILE|DIR` was asked to serve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from inferloom.cli.up import meshfile
from inferloom.cli.up.describe import AppDescription, Describe, describe, is_app, may_be_app
from inferloom.cli.up.documents import MeshSpec, ModelSpec, VersionSpec
from inferloom.cli.up.expand import Wanted, expand
from inferloom.cli.up.hints_file import hinted, is_hints
from inferloom.cli.up.meshfile import MeshFile
from inferloom.cli.up.meshfile_hosted import AppEntry
from inferloom.mesh.errors import ConfigError, InvalidInput
from inferloom.mesh.names import check_name
from inferloom.sidecar.modelfile.recognise import name_from, recognise

__all__ = ["Declared", "declared", "split_name"]


@dataclass(frozen=True, slots=True)
class Declared:
    """What mesh.yaml, or the command line in its place, says; `folder` where there is a mesh.yaml."""

    file: MeshFile
    described: dict[Path, AppDescription] = field(default_factory=dict)  # of each of the file's Python sources
    folder: Path | None = None
    replicas: int = 1  # of models that a Python file brings
    notes: tuple[str, ...] = ()  # for the user: what was made of a folder

    @property
    def mesh(self) -> MeshSpec:
        return self.file.mesh

    @property
    def models(self) -> tuple[ModelSpec, ...]:
        return self.file.models

    def documents(self, host: str) -> Wanted:
        """Raises ConfigError where the declarations contradict each other."""
        return expand(self.file, self.described, host, self.replicas)


async def declared(
    source: Path,
    replicas: int | None = None,
    name: str | None = None,
    gpus: int = 0,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    ask: Describe = describe,
) -> Declared:
    """The models, services and pipelines of a file, of a folder with a mesh.yaml, or of a folder of such files.

    Args:
        replicas: of each model that does not say itself.
        name: NAME or NAME:VERSION for a single model file; by default the file's own name, version 1.
        inputs, outputs: types of a single model file that does not say, as "x:FP32[-1,4]".
        ask: tells what a Python file declares.

    Raises:
        InvalidInput: there is nothing to serve; says what was looked for.
    """
    if not source.exists():
        recognise(source)  # says so, with near names
    file = source / meshfile.FILE if source.is_dir() else source
    options = (("--as", name), ("--input", inputs), ("--output", outputs))
    if file.name.endswith((".yaml", ".yml")) and file.exists():
        for option, given in options:
            if given:
                raise ConfigError(f"{option} is for a single file; {file} describes its models itself")
        content = meshfile.load(file, replicas)
        described = {path: await ask(path) for path in sorted(content.sources)}
        default = replicas or content.mesh.replicas or 1
        return Declared(content, described, file.parent, default)
    app = await is_app(source, ask)
    if app is not None:
        for option in [*(option for option, given in options if given), *(["--gpus"] if gpus else [])]:
            raise ConfigError(f"{option} is for a model file; {source} declares its services itself")
        return Declared(MeshFile(apps=(AppEntry(app.source),)), {app.source: app}, replicas=replicas or 1)
    if not source.is_dir() or _is_model(source):
        model, version = split_name(name or name_from(source))
        found_as = recognise(source).description
        notes = (f"folder '{source}' is one model, '{model}': {found_as}",) if source.is_dir() else ()
        single = _single(source, model, version or "1", replicas or 1, gpus, tuple(inputs), tuple(outputs))
        return Declared(MeshFile(models=(single,)), notes=notes)
    return await _folder(source, replicas or 1, gpus, ask)


async def _folder(source: Path, replicas: int, gpus: int, ask: Describe) -> Declared:
    paths = [path for path in sorted(source.iterdir()) if not path.name.startswith(".")]
    found: dict[str, Path] = {}
    apps: dict[Path, AppDescription] = {}
    for path in paths:
        app = await is_app(path, ask) if path.suffix == ".py" and may_be_app(path) else None
        if app is not None:
            apps[app.source] = app
        elif _is_model(path):
            name = name_from(path)
            if name in found:
                raise InvalidInput(
                    f"'{found[name]}' and '{path}' would both be called '{name}'; rename one, or name them in "
                    f"{source}/mesh.yaml"
                )
            found[name] = path
    brought = {v.source for app in apps.values() for model in app.models.values() for v in model.versions.values()}
    found = {name: path for name, path in found.items() if path.resolve() not in brought}
    served = {*(path.resolve() for path in found.values()), *apps, *brought}
    left_out = tuple(path.name for path in paths if path.resolve() not in served and not is_hints(path))
    if not found and not apps:
        has = f"; it has {', '.join(left_out[:5])}" + (", ..." if len(left_out) > 5 else "") if left_out else ""
        raise InvalidInput(
            f"folder '{source}' has no mesh.yaml and no model file{has}; `inferloom up model.onnx` serves a file"
        )
    models = tuple(_single(path, key, "1", replicas, gpus) for key, path in found.items())
    notes = (f"left out, no models: {', '.join(left_out)}",) if left_out else ()
    return Declared(MeshFile(models=models, apps=tuple(map(AppEntry, apps))), apps, replicas=replicas, notes=notes)


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
    return hinted(ModelSpec(name, {version: VersionSpec(path.resolve(), None, inputs, outputs)}, replicas, gpus))


def _is_model(path: Path) -> bool:
    try:
        recognise(path)
    except InvalidInput:
        return False
    return True
