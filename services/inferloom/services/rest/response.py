"""A ModelInferResponse as a REST answer."""

from __future__ import annotations

from typing import Any, NamedTuple

from pydantic_core import to_json

from inferloom.services.rest.parameters import BINARY_SIZE, write_parameters
from inferloom.services.rest.request import Wanted
from inferloom.services.rest.values import write_values
from inferloom.services.tensor import from_response

__all__ = ["Body", "json_bytes", "write_response"]


class Body(NamedTuple):
    """What goes over the wire."""

    data: bytes
    header_length: int | None = None  # bytes of the JSON, where binary data follows it

    @property
    def content_type(self) -> str:
        return "application/json" if self.header_length is None else "application/octet-stream"


def json_bytes(value: Any) -> bytes:
    """UTF-8 JSON; NaN and infinities bare, as Triton writes them."""
    return to_json(value, inf_nan_mode="constants")


def write_response(response: Any, wanted: Wanted) -> Body:
    """The protocol's `inference_response`; outputs that are wanted in binary after it, in their order.

    Raises:
        InvalidInput: an output has no JSON and was not asked for in binary, or a replica's contents do not fit their shape.
    """
    tensors = from_response(response)
    found: dict[str, Any] = {"id": response.id} if response.id else {}
    found |= {"model_name": response.model_name, "model_version": response.model_version}
    if response.parameters:
        found["parameters"] = write_parameters(response.parameters)
    outputs, binary = [], []
    for output in response.outputs:
        tensor, parameters = tensors[output.name], write_parameters(output.parameters)
        told: dict[str, Any] = {"name": output.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}
        if wanted.in_binary(output.name):
            parameters[BINARY_SIZE] = len(tensor.raw)
            binary.append(tensor.raw)
        else:
            told["data"] = write_values(tensor.raw, tensor.datatype, tensor.shape, output.name)
        outputs.append(told | ({"parameters": parameters} if parameters else {}))
    found["outputs"] = outputs
    head = json_bytes(found)
    if not any(map(len, binary)):
        return Body(head)
    return Body(b"".join((head, *binary)), len(head))
