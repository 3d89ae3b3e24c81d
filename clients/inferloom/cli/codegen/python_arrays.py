"""arrays.py of a client package: a model's call with numpy arrays."""

from __future__ import annotations

from inferloom.clients.datatypes import BYTES, numpy_type
from inferloom.services.proto.face import Face, TensorBinding
from inferloom.services.proto.names import Names

__all__ = ["arrays_module"]


def arrays_module(face: Face) -> str:
    """`request_of(x=...)` makes a request, and `arrays_of(response)` a NamedTuple of arrays."""
    package, stem = face.package, face.package.split(".")[2]
    predict = face.predict
    inputs = Names("input")
    arguments = [(inputs.add(binding.tensor.name), binding) for binding in face.inputs]
    outputs = Names("output")
    results = [(_result(outputs.add(binding.tensor.name)), binding) for binding in face.outputs]
    rows = " One row for each entry of the first dimension." if face.rows else ""
    used = "request_of(...).rows" if face.rows else "request_of(...)"
    lines = [
        f'"""{face.name} with numpy arrays: `arrays_of(client.{_call(face)}({used}))`."""',
        "",
        "from __future__ import annotations",
        "",
        "from typing import NamedTuple",
        "",
        "import numpy.typing as npt",
        "",
        f"from {package} import {stem}_pb2 as pb",
        f"from {package}.numpy_helpers import Array, Tensor, fill",
        f"from {package}.numpy_helpers import arrays_of as _arrays_of",
        "",
        '__all__ = ["Arrays", "arrays_of", "request_of"]',
        "",
        "_INPUTS: tuple[Tensor, ...] = (",
        *(f"    {_tensor(face, binding)}," for _, binding in arguments),
        ")",
        "_OUTPUTS: tuple[Tensor, ...] = (",
        *(f"    {_tensor(face, binding)}," for _, binding in results),
        ")",
        "",
        "",
        "class Arrays(NamedTuple):",
        '    """What it answers."""',
        "",
        *(f"    {name}: Array  # {binding.tensor.datatype} {list(_shape(face, binding))}" for name, binding in results),
        *([] if results else ["    pass"]),
        "",
        "",
        "def request_of(",
        *(["    *,"] if arguments else []),
        *(
            f"    {name}: npt.ArrayLike{' | None = None' if binding.tensor.optional else ''},"
            for name, binding in arguments
        ),
        f") -> pb.{predict.request}:",
        f'    """A request of these arrays.{rows} Raises ValueError for a wrong shape."""',
        f"    request = pb.{predict.request}()",
        f"    given = {{{', '.join(f'{binding.tensor.name!r}: {name}' for name, binding in arguments)}}}",
        "    arrays = {name: value for name, value in given.items() if value is not None}",
        f"    fill(request, _INPUTS, arrays, rows={face.rows})",
        "    return request",
        "",
        "",
        f"def arrays_of(response: pb.{predict.response}) -> Arrays:",
        f"    return Arrays(*_arrays_of(response, _OUTPUTS, rows={face.rows}))",
        "",
    ]
    return "\n".join(lines)


def _call(face: Face) -> str:
    return "predict_stream" if face.predict.streams else "predict"


def _result(name: str) -> str:
    """A NamedTuple has methods of its own."""
    return f"{name}_values" if name in ("count", "index") else name


def _shape(face: Face, binding: TensorBinding) -> tuple[int, ...]:
    return (*([-1] if face.rows else []), *binding.shape)


def _tensor(face: Face, binding: TensorBinding) -> str:
    enumeration = face.enum(binding.type)
    text = binding.tensor.datatype == BYTES or bool(binding.labels)
    dtype = "O" if text else numpy_type(binding.tensor.datatype, binding.tensor.name).str
    numbers = {label: number for _, number, label in enumeration.values} if enumeration is not None else None
    parts = (binding.tensor.name, dtype, binding.shape, binding.form.value, binding.fields, binding.columns, numbers)
    return f"Tensor({', '.join(map(repr, parts))})"
