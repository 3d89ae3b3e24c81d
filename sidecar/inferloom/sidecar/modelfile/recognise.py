"""Which kind of model a path is, decided by its content first and its name second."""

from __future__ import annotations

import difflib
import re
import zipfile
from pathlib import Path

from inferloom.mesh.errors import InvalidInput
from inferloom.sidecar.modelfile import folder, onnx, pickled, pyclass, torch, xgboost
from inferloom.sidecar.modelfile.model import ModelFile

__all__ = ["SUPPORTED", "name_from", "recognise"]

SUPPORTED = (
    "supported are ONNX (.onnx), scikit-learn (.joblib, .pkl), XGBoost (.json, .ubj), PyTorch (.pt2 of torch.export, .pt of "
    "TorchScript), a Python class with predict (.py) and a Triton model folder"
)

_SUFFIXES = (".onnx", ".joblib", ".pkl", ".pickle", ".json", ".ubj", ".bst", ".pt", ".pth", ".pt2", ".py")

# What it is, and the way to something that is supported; by the first bytes, (offset, bytes).
_BY_CONTENT = {
    (0, b"version https://git-lfs."): ("a git-lfs pointer, not the file itself", "run `git lfs pull`"),
    (0, b"\x89HDF"): ("an HDF5 file, as Keras saves it", "export the model to ONNX with tf2onnx or model.export"),
    (0, b"GGUF"): ("a GGUF file of weights for llama.cpp", "serve a Python class that runs it, or export it to ONNX"),
    (4, b"TFL3"): ("a TensorFlow Lite model", "convert it to ONNX with tf2onnx --tflite"),
    (0, b"tree\n"): ("a LightGBM model", "convert it to ONNX with onnxmltools, or serve a Python class that loads it"),
    (0, b"CBM1"): ("a CatBoost model", "save it with model.save_model('model.onnx', format='onnx')"),
    (8, b'{"'): ("a safetensors file: weights without the program that uses them", torch.WAYS_OUT),
}

_BY_SUFFIX = {
    ".h5": _BY_CONTENT[0, b"\x89HDF"],
    ".keras": ("a Keras model", "export it to ONNX with model.export('model.onnx', format='onnx')"),
    ".safetensors": _BY_CONTENT[8, b'{"'],
    ".gguf": _BY_CONTENT[0, b"GGUF"],
    ".tflite": _BY_CONTENT[4, b"TFL3"],
    ".pb": ("a TensorFlow graph", "convert the SavedModel to ONNX with tf2onnx"),
    ".ckpt": ("a training checkpoint", f"load it and {torch.WAYS_OUT}"),
    ".pmml": ("a PMML document", "export the model to ONNX instead"),
    ".plan": (
        "a TensorRT engine, bound to one kind of GPU",
        "put it into NAME/1/model.plan and use NVIDIA's container",
    ),
    ".engine": (
        "a TensorRT engine, bound to one kind of GPU",
        "put it into NAME/1/model.plan and use NVIDIA's container",
    ),
    ".csv": ("data, not a model", "give the file that the training saved"),
    ".npy": ("data, not a model", "give the file that the training saved"),
    ".ipynb": ("a notebook", "give the file that the training saved"),
    ".yaml": ("a document", "give its folder to `inferloom up`, or a model file"),
}


def recognise(path: Path) -> ModelFile:
    """The model that a file or folder is.

    Reads at most the file's headers; imports and executes nothing of it.
    Raises InvalidInput for anything that is not a model, saying what it looks like, what is supported and the way there.
    """
    if path.is_dir():
        return folder.describe(path, recognise)
    if not path.is_file():
        raise InvalidInput(f"there is no file '{path}'{_near(path)}")
    with path.open("rb") as file:
        head = file.read(4096)
    if not head:
        raise InvalidInput(f"'{path}' is empty; the copy or download failed, fetch it again")
    for (offset, magic), (what, cure) in _BY_CONTENT.items():
        if head[offset:].startswith(magic):
            raise InvalidInput(f"'{path}' is {what}: {cure}; {SUPPORTED}")
    suffix = path.suffix.lower()
    if suffix in _BY_SUFFIX:
        what, cure = _BY_SUFFIX[suffix]
        raise InvalidInput(f"'{path}' looks like {what}: {cure}; {SUPPORTED}")
    if suffix == ".py":
        return pyclass.describe(path)
    if torch.looks_like(path):
        return torch.describe(path)
    if xgboost.looks_like(head):
        return xgboost.describe(path)
    if pickled.looks_like(head):
        if suffix in (".pt", ".pth"):
            raise InvalidInput(
                f"'{path}' holds PyTorch weights or a pickled module, in the old format; {torch.WAYS_OUT}"
            )
        return pickled.describe(path)
    if suffix == ".onnx":
        if re.match(rb"\s*<(!doctype|html|\?xml)", head, re.IGNORECASE):
            raise InvalidInput(f"'{path}' is a web page, not a model; the download failed, fetch it again")
        return onnx.describe(path)
    raise InvalidInput(f"'{path}' {_looks(path, head, suffix)}; {SUPPORTED}")


def name_from(path: Path) -> str:
    """The name a model gets where nobody gives one: the file's, without its suffix; what a name may not have becomes '-'."""
    resolved = path.resolve()
    stem = (
        resolved.stem
        if resolved.suffix.lower() in (*_SUFFIXES, *_BY_SUFFIX) and not resolved.is_dir()
        else resolved.name
    )
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-.")[:128]
    return name or "model"


def _looks(path: Path, head: bytes, suffix: str) -> str:
    expected = {
        ".json": 'no XGBoost model (it has no "learner")',
        ".ubj": "no XGBoost model",
        ".bst": "no XGBoost model",
        ".joblib": "no pickle",
        ".pkl": "no pickle",
        ".pickle": "no pickle",
        ".pt": "no file of PyTorch",
        ".pth": "no file of PyTorch",
        ".pt2": "no file of PyTorch",
    }.get(suffix)
    if zipfile.is_zipfile(path):
        kind = "a zip file"
    elif head.startswith(b"PK\3\4"):
        kind = "a zip file that was cut short (copy it again)"
    elif re.match(rb"\s*<(!doctype|html|\?xml)", head, re.IGNORECASE):
        kind = "a web page; the download may have failed"
    else:
        kind = "binary data" if b"\0" in head or not _is_text(head) else "a text file"
    return f"looks like {kind}" + (f" and is {expected}" if expected else "")


def _is_text(head: bytes) -> bool:
    try:
        head.decode()
    except UnicodeDecodeError as error:
        # A character may be cut by the end of what was read.
        return error.start > len(head) - 4
    return True


def _near(path: Path) -> str:
    if not path.parent.is_dir():
        return f": there is no folder '{path.parent}'"
    close = difflib.get_close_matches(path.name, [entry.name for entry in path.parent.iterdir()], 1, 0.6)
    return f"; did you mean '{path.parent / close[0]}'?" if close else ""
