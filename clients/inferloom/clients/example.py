"""From a model's metadata, a call that works: for the shell, in Python, and in words.

Sizes that may be any (-1) become 1; values become 0, false or "hello", JSON an empty list.
"""

from __future__ import annotations

import json
import math
import shlex
from typing import Any

from inferloom.clients.channel import DEFAULT_ADDRESS
from inferloom.clients.datatypes import BYTES
from inferloom.clients.metadata import ModelMetadata, TensorSpec
from inferloom.mesh.oip import SERVICE

__all__ = ["ZEROS", "example_call", "example_python", "example_text", "example_value"]

ZEROS = "@zeros"  # of `inferloom infer --input`: an array too large to be typed
_TYPEABLE = 16  # elements


def example_value(spec: TensorSpec) -> Any:
    """A nested list of the shape the model takes, a scalar where it takes no shape, or an empty list for JSON."""
    if spec.json:
        return []  # its type is not told; this is JSON, and the answer to another type names what is missing
    word: Any = "hello" if spec.datatype == BYTES else False if spec.datatype == "BOOL" else 0
    if spec.datatype.startswith(("FP", "BF")):
        word = 0.0
    for size in reversed(_sizes(spec)):
        word = [word] * size
    return word


def example_call(metadata: ModelMetadata, command: str = "inferloom infer") -> str:
    """A line to paste into a shell.

        inferloom infer iris --input 'X=[[0.0,0.0,0.0,0.0]]'

    Args:
        command: what comes before the model's name; with its options, where the mesh is not at the default address.
    """
    parts = [command, shlex.quote(metadata.name)]
    for spec in _required(metadata):
        value = _compact(example_value(spec)) if _typeable(spec) else ZEROS
        if spec.datatype == BYTES and not spec.json and math.prod(_sizes(spec)) == 1:
            value = "hello"
        parts += ["--input", shlex.quote(f"{spec.name}={value}")]
    return " ".join(parts)


def example_python(metadata: ModelMetadata, address: str = DEFAULT_ADDRESS) -> str:
    """The same as a Python program."""
    given = [f"{json.dumps(spec.name)}: {_python(spec)}" for spec in _required(metadata)]
    arrays = "import numpy as np\n\n" if any(not _typeable(spec) for spec in _required(metadata)) else ""
    where = "" if address == DEFAULT_ADDRESS else json.dumps(address)
    head = f"{arrays}from inferloom.sdk import SyncMeshClient\n\nwith SyncMeshClient({where}) as mesh:\n"
    call = f"{json.dumps(metadata.name)}, {{{', '.join(given)}}}"
    if metadata.decoupled:
        return f"{head}    for out in mesh.stream({call}):\n        print(dict(out))\n"
    return f"{head}    print(dict(mesh.infer({call})))\n"


def example_text(metadata: ModelMetadata, address: str = DEFAULT_ADDRESS) -> str:
    """The same in words, for any client of the Open Inference Protocol."""
    method = "ModelStreamInfer" if metadata.decoupled else "ModelInfer"
    lines = [f"gRPC {address}, {SERVICE}/{method}, model_name {metadata.name!r}"]
    lines += [f"  in   {spec}" for spec in metadata.inputs]
    lines += [f"  out  {spec}" for spec in metadata.outputs]
    return "\n".join(lines)


def _required(metadata: ModelMetadata) -> list[TensorSpec]:
    """The inputs it cannot do without, or the first where it can do without each."""
    return [spec for spec in metadata.inputs if not spec.optional] or list(metadata.inputs[:1])


def _sizes(spec: TensorSpec) -> tuple[int, ...]:
    return tuple(1 if size < 0 else size for size in spec.shape)


def _typeable(spec: TensorSpec) -> bool:
    return math.prod(_sizes(spec)) <= _TYPEABLE


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _python(spec: TensorSpec) -> str:
    if _typeable(spec):
        return repr(example_value(spec))
    dtype = {"BF16": "float32", "BOOL": "bool"}.get(spec.datatype, spec.datatype.replace("FP", "float").lower())
    if spec.datatype == BYTES:
        return f"np.full({_sizes(spec)}, 'hello')"
    return f"np.zeros({_sizes(spec)}, {dtype!r})"
