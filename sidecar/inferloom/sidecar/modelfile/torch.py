"""PyTorch: which of the things that torch saves as a zip file this one is, read from its entries."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inferloom.mesh.errors import InvalidInput
from inferloom.sidecar.modelfile.model import Kind, ModelFile

__all__ = ["WAYS_OUT", "describe", "looks_like"]

WAYS_OUT = "save the program with torch.export.save(torch.export.export(model, (example,)), 'model.pt2')"


def looks_like(path: Path) -> bool:
    """Whether this is a zip file of torch."""
    with _damage(path):
        if not zipfile.is_zipfile(path):
            return False
    with _opened(path) as archive:
        inner = {name.partition("/")[2] for name in archive.namelist()} | set(archive.namelist())
    return bool(inner & {"data.pkl", "archive_format", "serialized_exported_program.json"})


def describe(path: Path) -> ModelFile:
    """The model in a file of torch: an exported program or TorchScript.

    Raises InvalidInput for what else torch saves: a state_dict or pickled module (weights without the program) and
    compiled packages.
    """
    with _opened(path) as archive:
        entries = archive.namelist()
        inner = {name.partition("/")[2] for name in entries} | set(entries)
        if any("aotinductor" in name for name in entries):
            raise InvalidInput(
                f"'{path}' is a package compiled by AOTInductor, bound to one kind of machine; {WAYS_OUT} instead"
            )
        if inner & {"archive_format", "serialized_exported_program.json"}:
            description = "PyTorch exported program"
            return ModelFile(
                Kind.TORCH_EXPORT, path, description, "python", (("model.pt2", path),), "pytorch", needs=("torch",)
            )
        if "constants.pkl" not in inner:
            raise InvalidInput(f"'{path}' holds PyTorch weights without the program that uses them; {WAYS_OUT}")
        names = _forward(archive, entries)
    description = f"TorchScript: forward({', '.join(names)})"
    return ModelFile(Kind.TORCHSCRIPT, path, description, "pytorch", (("model.pt", path),), needs=("torch",))


def forward_names(model: ModelFile) -> tuple[str, ...]:
    """Arguments of a TorchScript's forward; empty where they cannot be read."""
    with _opened(model.path) as archive:
        return _forward(archive, archive.namelist())


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    with _damage(path), zipfile.ZipFile(path) as archive:
        yield archive


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    """What zipfile raises for damaged files, as InvalidInput."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, UnicodeDecodeError, EOFError, OSError) as error:
        raise InvalidInput(f"'{path}' is a damaged zip file ({error}); copy it again, or save it again") from None


def _forward(archive: zipfile.ZipFile, entries: list[str]) -> tuple[str, ...]:
    """Arguments of `forward`, from the code of the class that data.pkl, the pickled root module, names first."""
    root = next((name.removesuffix("data.pkl") for name in entries if name.endswith("data.pkl")), "")
    named = re.search(rb"c(__torch__[\w.]*)\n(\w+)\n", archive.read(f"{root}data.pkl")[:4096])
    if named is None:
        return ()
    module, kind = named[1].decode(), named[2].decode()
    source = f"{root}code/{module.replace('.', '/')}.py"
    if source not in entries:
        return ()
    pattern = rf"^class {kind}\(.*?^  def forward\((.*?)\)\s*->"
    found = re.search(pattern, archive.read(source).decode(), re.DOTALL | re.MULTILINE)
    return tuple(re.findall(r"(\w+): ", found[1]))[1:] if found else ()
