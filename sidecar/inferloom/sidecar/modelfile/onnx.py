"""ONNX: inputs, outputs and external weights of a .onnx file, read by hand (onnx.proto3 of ONNX's IR)."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from inferloom.mesh.errors import InvalidInput
from inferloom.sidecar.modelfile.model import Kind, ModelFile
from inferloom.sidecar.modelfile.protobuf import Buffer, Malformed, fields, integer, text, view
from inferloom.sidecar.modelfile.tensor import TensorType, listed

__all__ = ["describe"]

# TensorProto.DataType -> datatype of the Open Inference Protocol
_CODES = (
    "FP32",
    "UINT8",
    "INT8",
    "UINT16",
    "INT16",
    "INT32",
    "INT64",
    "BYTES",
    "BOOL",
    "FP16",
    "FP64",
    "UINT32",
    "UINT64",
)
_TYPES = dict(enumerate(_CODES, start=1))


@dataclass(frozen=True, slots=True)
class _Value:
    tensor: TensorType
    leading: str | None  # name of the first dimension where it is free and has one; "" free without a name; None fixed


def describe(path: Path) -> ModelFile:
    """The model in an ONNX file.

    Raises InvalidInput where the file is not ONNX, a tensor has a type Triton cannot carry (a sequence or map, as
    skl2onnx makes without `zipmap=False`), or a file of external weights is missing.
    """
    with path.open("rb") as file:
        data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    try:
        return _describe(path, data)
    except Malformed as error:
        raise InvalidInput(
            f"'{path}' is not an ONNX model, or is cut short ({error}); export it again, or copy it again"
        ) from None


def _describe(path: Path, data: Buffer) -> ModelFile:
    graphs = [view(value) for number, value in fields(data) if number == 7]
    if len(graphs) != 1:
        raise Malformed("it has no graph")
    inputs: list[_Value] = []
    outputs: list[_Value] = []
    constants: set[str] = set()
    outside: set[str] = set()
    for number, value in fields(graphs[0]):
        if number == 5:
            name, location = _initializer(view(value))
            constants.add(name)
            outside.update([location] if location else [])
        elif number in (11, 12):
            (inputs if number == 11 else outputs).append(_value(path, view(value)))
    # Before IR version 4 the weights were listed among the inputs.
    inputs = [value for value in inputs if value.tensor.name not in constants]
    if not outputs:
        raise Malformed("its graph has no outputs")
    values = [*inputs, *outputs]
    takes, gives = tuple(v.tensor for v in inputs), tuple(v.tensor for v in outputs)
    return ModelFile(
        Kind.ONNX,
        path,
        f"ONNX model: {listed(takes)} -> {listed(gives)}",
        "onnxruntime",
        (("model.onnx", path), *_companions(path, outside)),
        inputs=takes,
        outputs=gives,
        batched=bool(inputs) and _has_batch(values),
        needs=("onnxruntime",),
    )


def _initializer(data: Buffer) -> tuple[str, str]:
    """Name of a TensorProto, and the file its data is in ("" for this one)."""
    name = location = ""
    for number, value in fields(data):
        if number == 8:
            name = text(value)
        elif number == 13:
            entry = dict(_pair(view(value)))
            location = entry.get("location", location)
    return name, location


def _pair(data: Buffer) -> Iterator[tuple[str, str]]:
    parts = {number: text(value) for number, value in fields(data)}
    yield parts.get(1, ""), parts.get(2, "")


def _companions(path: Path, locations: set[str]) -> Iterator[tuple[str, Path]]:
    for location in sorted(locations):
        inner = PurePosixPath(location)
        if inner.is_absolute() or ".." in inner.parts:
            raise InvalidInput(
                f"'{path}' keeps weights in '{location}', outside of its folder; save it again beside them"
            )
        if not (path.parent / inner).is_file():
            raise InvalidInput(
                f"'{path}' keeps its weights in '{location}', which is not beside it; copy that file too"
            )
        yield str(inner), path.parent / inner


def _value(path: Path, data: Buffer) -> _Value:
    name, kind = "", None
    for number, value in fields(data):
        if number == 1:
            name = text(value)
        elif number == 2:
            kind = dict(fields(view(value)))
    tensor = kind.get(1) if kind else None
    if tensor is None:
        what = "a sequence" if kind and 4 in kind else "a map" if kind and 5 in kind else "no tensor"
        raise InvalidInput(
            f"{name!r} of '{path}' is {what}, which Triton cannot carry; a classifier of skl2onnx is converted with "
            "options={'zipmap': False}"
        )
    code, shape, leading = 0, [], None
    for number, value in fields(view(tensor)):
        if number == 1:
            code = integer(value)
        elif number == 2:
            sizes = [_dimension(view(dim)) for field, dim in fields(view(value)) if field == 1]
            shape = [size for size, _ in sizes]
            leading = sizes[0][1] if sizes else None
    if code not in _TYPES:
        raise InvalidInput(
            f"{name!r} of '{path}' has ONNX type {code}, which Triton cannot carry; cast it in the model"
        )
    return _Value(TensorType(name, _TYPES[code], tuple(shape)), leading)


def _dimension(data: Buffer) -> tuple[int, str | None]:
    for number, value in fields(data):
        if number == 1:
            return integer(value), None
        if number == 2:
            return -1, text(value)
    return -1, ""


def _has_batch(values: list[_Value]) -> bool:
    """Whether the first dimension of every tensor is one and the same free dimension.

    Two different names are two different sizes (rows in, detections out); names that tf2onnx and torch make up
    themselves say nothing. The onnxruntime backend decides by the same rule.
    """
    if any(value.leading is None for value in values):
        return False
    names = {value.leading for value in values if value.leading}
    return len({n for n in names if not n.startswith("unk_") and "_dynamic_axes_" not in n}) <= 1
