"""Putting models into a repository, and taking them out."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from inferloom.mesh.errors import InvalidInput
from inferloom.mesh.names import check_name
from inferloom.sidecar.backends import wrapper_files
from inferloom.sidecar.modelfile import config
from inferloom.sidecar.modelfile.folder import CONFIG, versions_in
from inferloom.sidecar.modelfile.model import Kind, ModelFile
from inferloom.sidecar.modelfile.recognise import recognise
from inferloom.sidecar.modelfile.tensor import TensorType
from inferloom.sidecar.modelfile.torch import WAYS_OUT, forward_names
from inferloom.sidecar.modelfile.warmup import FILE as WARMUP
from inferloom.sidecar.modelfile.warmup import read_warmup
from inferloom.sidecar.repository.files import NOISE, same, staged, swap

__all__ = ["place", "remove"]


def place(
    source: Path | ModelFile,
    repository: Path,
    name: str,
    version: str = "",
    *,
    gpus: int = 0,
    inputs: Sequence[TensorType] = (),
    outputs: Sequence[TensorType] = (),
    warmup: Path | None = None,
    replace: bool = False,
) -> tuple[str, ...]:
    """Put a model into a repository, whole or not at all.

    Args:
        source: the file or folder, or what `recognise` made of it.
        repository: made where it does not exist.
        version: a whole number from 1; "" is 1 for a file, and every version of a Triton model folder.
        gpus: 0 runs it on the CPU; more, one instance on each GPU that Triton sees.
        inputs, outputs: the types, where the file does not tell them (TorchScript, a class without `inputs`).
        warmup: a warmup.json for the version, checked first.
        replace: whether the version may be there already with other content.

    Returns: the versions placed. The same content again changes nothing.
    Raises InvalidInput: no model, a wrong name, version or warm-up, types missing, or the version is there with other
    content.
    """
    model = source if isinstance(source, ModelFile) else recognise(source)
    check_name(name)
    if name.startswith("."):
        raise InvalidInput(f"{name!r} cannot be placed: folders that begin with a dot are hidden; drop the dot")
    _check_types(model, inputs, outputs)
    wanted = _versions(model, version)
    if warmup is not None:
        read_warmup(warmup)
    target = repository / name
    with staged(repository, name) as stage:
        for number, folder in wanted.items():
            _fill(stage / number, model, folder)
            if warmup is not None:
                shutil.copyfile(warmup, stage / number / WARMUP)
        before = _config_text(target, model)
        after = config.completed(
            before, name, model, gpus=gpus, inputs=inputs, outputs=outputs, where=_config_path(target, model)
        )
        (stage / CONFIG).write_text(after)
        if not target.exists():
            _copy_rest(stage, model)
            stage.rename(target)
            return tuple(wanted)
        _check_replaced(target, stage, wanted, name, replace)
        # An unchanged configuration keeps its time: Triton reloads every version of a model whose configuration is newer.
        if not (target / CONFIG).is_file() or (target / CONFIG).read_text() != after:
            os.replace(stage / CONFIG, target / CONFIG)
        for number in wanted:
            if not same(target / number, stage / number):
                swap(stage / number, target / number, stage)
    return tuple(wanted)


def remove(repository: Path, name: str, version: str | None = None) -> None:
    """Take a version, or with None the whole model, out of the repository. With its last version the model goes.

    Raises InvalidInput where there is none.
    """
    target = repository / name
    versions = versions_in(target) if target.is_dir() else ()
    if not versions:
        raise InvalidInput(f"'{repository}' has no model '{name}'")
    if version is not None and version not in versions:
        raise InvalidInput(f"model '{name}' has no version {version}; it has {', '.join(versions)}")
    gone = target if version is None or versions == (version,) else target / version
    with staged(repository, name) as stage:
        gone.rename(stage / "gone")


def _check_types(model: ModelFile, inputs: Sequence[TensorType], outputs: Sequence[TensorType]) -> None:
    takes, gives = inputs or model.inputs, outputs or model.outputs
    if model.kind is Kind.TORCHSCRIPT and not (takes and gives):
        given = " ".join(f"--input {name}:FP32[-1,4]" for name in forward_names(model) or ("x",))
        raise InvalidInput(
            f"'{model.path}' is TorchScript, which carries no types and shapes; {WAYS_OUT}, or give them: "
            f"{given} --output y:FP32[-1,2] (with yours)"
        )
    if model.kind is Kind.PYTHON and not (takes and gives):
        missing = "inputs" if not takes else "outputs"
        raise InvalidInput(
            f'\'{model.path}\': the types of its {missing} are not known; give the class {missing} = {{"x": "FP32[-1,4]"}}, '
            f"or --{missing[:-1]} x:FP32[-1,4] (with yours)"
        )


def _versions(model: ModelFile, version: str) -> dict[str, Path | None]:
    """Version -> the folder it comes from; None for a bare file."""
    if version and not (version.isdigit() and version == str(int(version)) and version != "0"):
        raise InvalidInput(f"{version!r} is no version: Triton's are whole numbers from 1")
    if model.kind is not Kind.TRITON:
        return {version or "1": None}
    there = versions_in(model.path)
    if not version:
        return {number: model.path / number for number in there}
    if version not in there and len(there) > 1:
        raise InvalidInput(f"'{model.path}' has no version {version}; it has {', '.join(there)}")
    return {version: model.path / (version if version in there else there[0])}


def _fill(target: Path, model: ModelFile, folder: Path | None) -> None:
    if folder is not None:
        shutil.copytree(folder, target, ignore=shutil.ignore_patterns(*NOISE), copy_function=shutil.copyfile)
        return
    wrapper = wrapper_files(model.wrapper).items() if model.wrapper else ()
    for name, path in (*model.files, *wrapper):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target / name)


def _copy_rest(stage: Path, model: ModelFile) -> None:
    """What else a Triton model folder has beside its versions: label files, an environment."""
    if model.kind is not Kind.TRITON:
        return
    for entry in model.path.iterdir():
        if entry.name == CONFIG or entry.name.startswith(".") or entry.name.isdigit() or entry.name in NOISE:
            continue
        (shutil.copytree if entry.is_dir() else shutil.copyfile)(entry, stage / entry.name)


def _config_path(target: Path, model: ModelFile) -> Path:
    own = model.path / CONFIG
    return own if model.kind is Kind.TRITON and own.is_file() else target / CONFIG


def _config_text(target: Path, model: ModelFile) -> str:
    path = _config_path(target, model)
    return path.read_text() if path.is_file() else ""


def _check_replaced(target: Path, stage: Path, wanted: dict[str, Path | None], name: str, replace: bool) -> None:
    for number in wanted:
        if not replace and (target / number).exists() and not same(target / number, stage / number):
            following = int(versions_in(target)[-1]) + 1
            raise InvalidInput(
                f"model '{name}' has a version {number} with other content; add this one as {name}:{following}, or remove "
                f"{name}:{number} first"
            )
