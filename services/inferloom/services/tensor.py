"""A tensor as it travels: bytes with a name for what they are.

Composers pass these from one node to the next without looking inside; only a Python step or a combiner makes an array of one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from inferloom.clients.datatypes import datatype_of
from inferloom.clients.tensors import decode, encode
from inferloom.mesh.errors import InvalidInput
from inferloom.mesh.oip import pb

__all__ = ["Tensor", "Tensors", "from_request", "from_response", "to_response"]

Array = np.ndarray[Any, Any]


class Tensor(NamedTuple):
    """Raw contents, row-major and little-endian; BYTES elements each behind their length (4 bytes)."""

    datatype: str  # of the Open Inference Protocol
    shape: tuple[int, ...]
    raw: bytes | memoryview

    @property
    def array(self) -> Array:
        """A read-only view; BYTES is an object array of bytes. InvalidInput where contents and shape do not agree."""
        return decode(self.raw, self.datatype, self.shape)

    @staticmethod
    def of(array: Array, datatype: str = "", name: str = "tensor") -> Tensor:
        """Raises InvalidInput where the dtype is none of the protocol, or not the one that `datatype` stands for."""
        datatype = datatype or datatype_of(array, name)
        return Tensor(datatype, array.shape, encode(array, datatype, name))


Tensors = Mapping[str, Tensor]


def from_request(request: Any) -> dict[str, Tensor]:
    """The inputs of a ModelInferRequest, by name; typed `contents` become raw ones.

    Raises:
        InvalidInput: there are not as many raw contents as inputs, or typed contents do not fit their shape.
    """
    return _tensors(request.inputs, request.raw_input_contents, "input")


def from_response(response: Any) -> dict[str, Tensor]:
    """The outputs of a ModelInferResponse; as `from_request`."""
    return _tensors(response.outputs, response.raw_output_contents, "output")


def to_response(tensors: Iterable[tuple[str, Tensor]], model: str, version: str = "", request_id: str = "") -> Any:
    """A ModelInferResponse with these outputs."""
    response = pb.ModelInferResponse(model_name=model, model_version=version, id=request_id)
    for name, tensor in tensors:
        response.outputs.add(name=name, datatype=tensor.datatype, shape=tensor.shape)
        response.raw_output_contents.append(bytes(tensor.raw))
    return response


def _tensors(described: Any, raws: Any, what: str) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    if raws:
        if len(raws) != len(described):
            raise InvalidInput(f"{len(described)} {what}s came with {len(raws)} raw contents")
        for tensor, raw in zip(described, raws, strict=True):
            found[tensor.name] = Tensor(tensor.datatype, tuple(tensor.shape), raw)
        return found
    from inferloom.clients.tensors import decode_typed

    for tensor in described:
        shape = tuple(tensor.shape)
        array = decode_typed(tensor.contents, tensor.datatype, shape, tensor.name)
        found[tensor.name] = Tensor(tensor.datatype, shape, encode(array, tensor.datatype, tensor.name))
    return found
