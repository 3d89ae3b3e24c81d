"""A folder as a model: Triton's own layout, or a Python class with the files it needs."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from inferloom.mesh.errors import InvalidInput
from inferloom.sidecar.modelfile import pyclass
from inferloom.sidecar.modelfile.model import Kind, ModelFile

__all__ = ["describe", "is_model", "versions_in"]

CONFIG = "config.pbtxt"


def versions_in(folder: Path) -> tuple[str, ...]:
    """Version folders of a Triton model, oldest first."""
    names = (entry.name for entry in folder.iterdir() if entry.is_dir())
    return tuple(sorted((n for n in names if n.isdigit() and n == str(int(n)) and n != "0"), key=int))


def is_model(folder: Path) -> bool:
    """Whether a folder has the layout of a Triton model: config.pbtxt or version folders in it."""
    return (folder / CONFIG).is_file() or bool(versions_in(folder))


def describe(folder: Path, recognise: Callable[[Path], ModelFile]) -> ModelFile:
    """The model in a folder. `recognise` is asked about files in it. Raises InvalidInput."""
    if is_model(folder):
        return _triton(folder, recognise)
    files = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    sources = [entry for entry in files if entry.suffix == ".py" and _predicts(entry)]
    if len(sources) == 1:
        return _python(folder, sources[0], recognise)
    models = [entry.name for entry in files if entry.is_dir() and is_model(entry)]
    if models:
        raise InvalidInput(
            f"'{folder}' is a repository of models ({', '.join(models)}), not one model; give '{folder / models[0]}'"
        )
    names = [entry.name for entry in files if entry.is_file()]
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "") if names else "no files"
    raise InvalidInput(
        f"'{folder}' is no model folder (no config.pbtxt, no version folder such as 1/, no one Python class with "
        f"predict); it has {shown}; give one model file, or put it into {folder.name}/1/"
    )


def _triton(folder: Path, recognise: Callable[[Path], ModelFile]) -> ModelFile:
    versions = versions_in(folder)
    if not versions:
        raise InvalidInput(
            f"'{folder}' has config.pbtxt and no version folder; put the model's file into '{folder}/1/'"
        )
    what = f"Triton model folder, version{'s' if len(versions) > 1 else ''} {', '.join(versions)}"
    if (folder / CONFIG).is_file():
        return ModelFile(Kind.TRITON, folder, what)
    for name in ("model.py", "model.onnx", "model.pt", "xgboost.json", "xgboost.ubj"):
        file = folder / versions[-1] / name
        if name == "model.py" and file.is_file():
            return ModelFile(Kind.TRITON, folder, f"{what}: model.py", "python")
        if file.is_file():
            inner = recognise(file)
            return replace(inner, kind=Kind.TRITON, path=folder, description=f"{what}: {inner.description}", files=())
    raise InvalidInput(
        f"'{folder}/{versions[-1]}' has no model.onnx, model.pt, model.py, xgboost.json or xgboost.ubj, and '{folder}' no "
        "config.pbtxt that says what else it is"
    )


def _predicts(source: Path) -> bool:
    try:
        tree = ast.parse(source.read_bytes())
    except (SyntaxError, ValueError):
        return False
    return bool(pyclass.predictors(tree)) or any(
        isinstance(node, ast.ClassDef) and node.name == "TritonPythonModel" for node in tree.body
    )


def _python(folder: Path, source: Path, recognise: Callable[[Path], ModelFile]) -> ModelFile:
    model = recognise(source)
    inner = (path for path in sorted(folder.rglob("*")) if path.is_file() and path != source)
    beside = {
        str(path.relative_to(folder)): path
        for path in inner
        if not any(part.startswith(".") or part == "__pycache__" for part in path.relative_to(folder).parts)
    }
    taken = {"model.py", "user_model.py"} & set(beside)
    if taken:
        raise InvalidInput(f"'{folder / taken.pop()}': that name is needed for the model; rename the file")
    own = {path.stem for path in beside.values() if path.suffix == ".py"} | {Path(name).parts[0] for name in beside}
    needs = tuple(name for name in model.needs if name not in own)
    return replace(model, path=folder, files=(*model.files, *beside.items()), needs=needs)
