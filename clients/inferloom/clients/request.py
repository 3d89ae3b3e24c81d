"""ModelInferRequest messages.

The tensors' bytes are put behind the serialised rest by hand: `raw_input_contents` is the message's last field, so one
join makes the whole message and each tensor is copied once (protobuf would copy it three times).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from inferloom.clients.datatypes import datatype_of
from inferloom.clients.fit import Fitted, to_array
from inferloom.clients.tensors import Buffer, encode
from inferloom.mesh.errors import InvalidInput
from inferloom.mesh.oip import pb

__all__ = ["build", "unfitted"]

_RAW_TAG = bytes([pb.ModelInferRequest.RAW_INPUT_CONTENTS_FIELD_NUMBER << 3 | 2])
_INT64, _UINT64 = 1 << 63, 1 << 64


def unfitted(inputs: Any, model: str) -> list[Fitted]:
    """Inputs as they are, for a server that tells no metadata.

    Raises:
        InvalidInput: they are not named, or of a dtype the protocol does not have.
    """
    if not isinstance(inputs, Mapping):
        raise InvalidInput(f"{model} tells no metadata, so its inputs must be named: {{'name': array}}")
    arrays = {name: to_array(value) for name, value in inputs.items()}
    return [Fitted(name, datatype_of(array, name), array) for name, array in arrays.items()]


def build(
    model: str,
    version: str,
    inputs: Iterable[Fitted],
    *,
    request_id: str = "",
    outputs: Sequence[str] = (),
    parameters: Mapping[str, Any] | None = None,
) -> bytes:
    """A serialised ModelInferRequest.

    Args:
        outputs: the outputs wanted; empty: all.
        parameters: bool, int, float or str by name (Triton: priority, timeout, sequence_id, ...).

    Raises:
        InvalidInput: a parameter is of another type, or a BYTES tensor holds something other than str and bytes.
    """
    head = pb.ModelInferRequest(model_name=model, model_version=version, id=request_id)
    contents: list[Buffer] = []
    for item in inputs:
        tensor = head.inputs.add(name=item.name, datatype=item.datatype)
        tensor.shape.extend(item.array.shape)
        contents.append(encode(item.array, item.datatype, item.name))
    for name in outputs:
        head.outputs.add(name=name)
    for name, value in (parameters or {}).items():
        _set(head.parameters[name], name, value)
    parts: list[Buffer] = [head.SerializeToString()]
    for raw in contents:
        parts += (_RAW_TAG, _varint(len(raw)), raw)
    return b"".join(parts)


def _set(parameter: Any, name: str, value: Any) -> None:
    if isinstance(value, (bool, np.bool_)):
        parameter.bool_param = bool(value)
    elif isinstance(value, (int, np.integer)) and -_INT64 <= value < _INT64:
        parameter.int64_param = int(value)
    elif isinstance(value, (int, np.integer)) and 0 <= value < _UINT64:
        parameter.uint64_param = int(value)
    elif isinstance(value, (float, np.floating)):
        parameter.double_param = float(value)
    elif isinstance(value, str):
        parameter.string_param = value
    else:
        raise InvalidInput(f"parameter '{name}' is a {type(value).__name__}; it may be a bool, int, float or str")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
