"""Triton's raw binary requests: no JSON at all, the body is the contents of the model's one input.

Asked for by `Inference-Header-Content-Length: 0`. A shape with one variable size takes what the body holds; of two the
first is the batch, of one row. BYTES are one element. Every output comes in binary.
"""

from __future__ import annotations

import math
import struct
from typing import Any

from inferloom.clients.datatypes import BF16, BYTES, numpy_type
from inferloom.mesh.errors import InvalidInput
from inferloom.mesh.oip import pb
from inferloom.services.rest.request import HEADER_LENGTH, InferRequest, Wanted

__all__ = ["read_raw"]


def read_raw(body: bytes, metadata: Any, model: str, version: str) -> InferRequest:
    """The message for a model and (or "") its version.

    Args:
        metadata: the model's ModelMetadataResponse.

    Raises:
        InvalidInput: the model has several inputs, or the body does not fill the one.
    """
    if len(metadata.inputs) != 1:
        raise InvalidInput(
            f"header '{HEADER_LENGTH}' is 0: without JSON there is one input, and '{model}' has {len(metadata.inputs)}"
        )
    (spec,) = metadata.inputs
    if spec.datatype == BYTES:
        shape, raw = _fill(list(spec.shape), 1, spec.name), struct.pack("<I", len(body)) + body
    else:
        size = 2 if spec.datatype == BF16 else numpy_type(spec.datatype, spec.name).itemsize
        count, over = divmod(len(body), size)
        if over:
            raise InvalidInput(f"{len(body)} bytes are no whole number of elements of '{spec.name}', {spec.datatype}")
        shape, raw = _fill(list(spec.shape), count, spec.name), body
    message = pb.ModelInferRequest(model_name=model, model_version=version, raw_input_contents=[raw])
    message.inputs.add(name=spec.name, datatype=spec.datatype, shape=shape)
    return InferRequest(message, Wanted(others=True))


def _fill(shape: list[int], count: int, name: str) -> list[int]:
    known = list(shape)
    if shape.count(-1) > 1 and shape[0] == -1:
        known[0] = 1
    fixed = math.prod(size for size in known if size != -1)
    if known.count(-1) > 1 or not fixed or count % fixed or (-1 not in known and count != fixed):
        raise InvalidInput(f"{count} elements do not fill '{name}' of shape {shape}; send JSON that tells the shape")
    return [count // fixed if size == -1 else size for size in known]
