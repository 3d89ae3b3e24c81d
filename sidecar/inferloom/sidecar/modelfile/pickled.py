"""scikit-learn: what a pickle or joblib file holds, read from its opcodes. Nothing is unpickled here: that runs code."""

from __future__ import annotations

import bz2
import gzip
import lzma
import pickletools
import re
import zlib
from pathlib import Path

from inferloom.mesh.errors import InvalidInput
from inferloom.sidecar.modelfile.model import Kind, ModelFile

__all__ = ["describe", "looks_like"]

_LOOK = 64 << 20  # bytes of the pickle that are looked at

# What joblib compresses with, by the first two bytes; zlib is what `compress=3` means.
_ZLIB = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
_GZIP, _BZ2, _XZ, _LZMA = b"\x1f\x8b", b"BZ", b"\xfd7", b"\x5d\x00"


def looks_like(head: bytes) -> bool:
    """Whether a file that begins so is a pickle, possibly compressed as joblib does."""
    pickled = head[:1] == b"\x80" and head[1:2] <= b"\x05"
    return pickled or head[:2] in (*_ZLIB, _GZIP, _BZ2, _XZ, _LZMA)


def describe(path: Path) -> ModelFile:
    """The scikit-learn estimator in a pickle or joblib file.

    Raises InvalidInput where it holds something else, or a class that was defined in the script that saved it.
    """
    data = _read(path)
    root, modules = _classes(data)
    package = root.partition(".")[0]
    if package == "__main__" or "__main__" in modules:
        name = root if package == "__main__" else "a part"
        raise InvalidInput(
            f"'{path}' needs {name} of the script that saved it, which is not in the file; put that class into a .py "
            "file with predict and serve that"
        )
    if package in ("torch", "xgboost", "lightgbm", "catboost", "keras", "tensorflow"):
        cure = {
            "torch": "torch.export.save(torch.export.export(model, (example,)), 'model.pt2')",
            "xgboost": "model.save_model('model.ubj')",
        }.get(package, "ONNX, or serve a Python class that loads it")
        raise InvalidInput(f"'{path}' is a pickled {root}; save it with {cure}")
    if package not in ("sklearn", "imblearn"):
        what = f"a pickled {root}" if root else "a pickle without an estimator"
        raise InvalidInput(f"'{path}' is {what}; supported are estimators of scikit-learn, saved with joblib.dump")
    version = _version(data)
    needs = ("scikit-learn", "imbalanced-learn") if "imblearn" in modules else ("scikit-learn",)
    name = root.rpartition(".")[2]
    return ModelFile(
        Kind.SKLEARN,
        path,
        f"scikit-learn {name}" + (f", saved with {version}" if version else ""),
        "python",
        (("model.joblib" if path.suffix == ".joblib" else "model.pkl", path),),
        "sklearn",
        batched=True,
        needs=needs,
    )


def _read(path: Path) -> bytes:
    """The first bytes of the pickle, decompressed."""
    with path.open("rb") as file:
        head = file.read(2)
        file.seek(0)
        try:
            if head in _ZLIB:
                return zlib.decompressobj().decompress(file.read(), _LOOK)
            if head == _GZIP:
                return gzip.GzipFile(fileobj=file).read(_LOOK)
            if head == _BZ2:
                return bz2.BZ2File(file).read(_LOOK)
            if head in (_XZ, _LZMA):
                return lzma.LZMAFile(file).read(_LOOK)
        except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
            raise InvalidInput(f"'{path}' is compressed and cannot be read ({error}); save it again") from None
        return file.read(_LOOK)


def _classes(data: bytes) -> tuple[str, set[str]]:
    """Full name of the first class, and the packages of all that can be seen.

    joblib writes arrays into the middle of the pickle, where the opcodes end: what comes later is not seen.
    """
    first, packages, strings = "", set(), ["", ""]
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "GLOBAL":
                strings = str(argument).split(" ")
            elif "UNICODE" in opcode.name:
                strings = [strings[-1], str(argument)]
                continue
            elif opcode.name != "STACK_GLOBAL":
                continue
            first = first or ".".join(strings)
            packages.add(strings[0].partition(".")[0])
    except (ValueError, UnicodeDecodeError, IndexError):
        pass
    return first, packages


def _version(data: bytes) -> str:
    """The scikit-learn that saved it: another one may load it wrongly, or not at all."""
    found = re.search(rb"_sklearn_version.{1,12}?(\d+\.\d+(?:\.\d+)?(?:\.?(?:rc|post|dev)\d+)?)", data, re.DOTALL)
    return found[1].decode() if found else ""
