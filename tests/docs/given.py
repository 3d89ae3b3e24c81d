"""Ready-made files that a page may ask for."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.support.up import DATA

__all__ = ["lay"]

ROOT = Path(__file__).parents[2]
ALIASES = {
    "iris.onnx": DATA / "iris.onnx",
    "iris-v2.onnx": DATA / "iris.onnx",
    "forest.pkl": DATA / "tree.pkl",
    "model.onnx": DATA / "iris.onnx",
    "other.onnx": DATA / "vector.onnx",
}
FOLDERS = ("examples", "helm", "images", "monitoring")  # of the repository: pages say `examples/digits`
UNWANTED = shutil.ignore_patterns("__pycache__", "*.pyc")


def lay(name: str, folder: Path) -> None:
    """Put a file, or a folder of the repository, into a page's folder under the name the page gives it.

    Raises:
        FileNotFoundError: nothing is known by this name.
    """
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    source = ALIASES.get(name, DATA / name)
    if not source.is_file() and Path(name).parts[0] in FOLDERS:
        source = ROOT / name
    if source.is_dir():
        shutil.copytree(source, target, ignore=UNWANTED, dirs_exist_ok=True)
    elif source.is_file():
        shutil.copyfile(source, target)
    else:
        known = ", ".join([*sorted(ALIASES), "a file of tests/data/models", *(f"{each}/..." for each in FOLDERS)])
        raise FileNotFoundError(f"given: {name}: known are {known}")
