"""The first request of a model version: from its warmup.json, or made from its metadata.

Tensors travel as raw bytes, little-endian; no numpy, which would cost the sidecar a third of its memory.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from inferloom.mesh.oip import pb
from inferloom.sidecar.modelfile.warmup import Warmup

__all__ = ["answer_values", "from_warmup", "synthesise"]

FORMATS = {
    "BOOL": "?", "INT8": "b", "UINT8": "B", "INT16": "h", "UINT16": "H", "INT32": "i", "UINT32": "I",
    "INT64": "q", "UINT64": "Q", "FP16": "e", "FP32": "f", "FP64": "d",
}  # fmt: skip
EMPTY_STRING = b"\0\0\0\0"  # a BYTES element is its length, 4 bytes little-endian, and its bytes
LIMIT = 64 * 1024 * 1024  # bytes; nobody wants a larger one by surprise


def synthesise(metadata: Any, version: str) -> Any | None:
    """A request of zeros and empty strings; dimensions of any size are 1.

    Args:
        metadata: the model's ModelMetadataResponse.

    Returns:
        A ModelInferRequest, or None where an input's type is not known or it would be larger than 64 MiB.
    """
    request = pb.ModelInferRequest(model_name=metadata.name, model_version=version)
    total = 0
    for tensor in metadata.inputs:
        shape = [dim if dim >= 0 else 1 for dim in tensor.shape]
        count = 1
        for dim in shape:
            count *= dim
        if tensor.datatype == "BYTES":
            element = EMPTY_STRING
        elif tensor.datatype in FORMATS:
            element = bytes(struct.calcsize(FORMATS[tensor.datatype]))
        else:
            return None
        total += count * len(element)
        if total > LIMIT:
            return None
        request.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=shape)
        request.raw_input_contents.append(element * count)
    return request


def from_warmup(warmup: Warmup, model: str, version: str) -> Any:
    """The ModelInferRequest of a warmup.json.

    Raises:
        ValueError: a value that its datatype cannot hold; names the input.
    """
    request = pb.ModelInferRequest(model_name=model, model_version=version)
    for tensor in warmup.inputs:
        try:
            raw = encode(tensor.datatype, tensor.data)
        except (struct.error, OverflowError, TypeError, ValueError) as error:
            raise ValueError(f"input '{tensor.name}' cannot be sent as {tensor.datatype}: {error}") from None
        request.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        request.raw_input_contents.append(raw)
    return request


def answer_values(response: Any) -> dict[str, Sequence[Any]]:
    """Output -> flat values of a ModelInferResponse; BYTES as bytes. Outputs of an unknown type are left out."""
    values: dict[str, Sequence[Any]] = {}
    for tensor, raw in zip(response.outputs, response.raw_output_contents, strict=True):
        if tensor.datatype == "BYTES" or tensor.datatype in FORMATS:
            values[tensor.name] = decode(tensor.datatype, raw)
    return values


def encode(datatype: str, data: Sequence[Any]) -> bytes:
    if datatype == "BYTES":
        texts = [str(value).encode() for value in data]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    kind = FORMATS[datatype]
    return struct.pack(f"<{len(data)}{kind}", *(float(v) if kind in "efd" else int(v) for v in data))


def decode(datatype: str, raw: bytes) -> Sequence[Any]:
    if datatype != "BYTES":
        kind = FORMATS[datatype]
        return struct.unpack(f"<{len(raw) // struct.calcsize(kind)}{kind}", raw)
    values: list[bytes] = []
    at = 0
    while at < len(raw):
        (length,) = struct.unpack_from("<I", raw, at)
        values.append(raw[at + 4 : at + 4 + length])
        at += 4 + length
    return values
