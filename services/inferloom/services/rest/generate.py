"""Triton's generate extension: a JSON object with a member per input, and one with a member per output.

A value or a flat list stands for a tensor; its shape is made from the input's: fixed sizes first, what is left goes into
the innermost variable one. Members that are no inputs are parameters, those within "parameters" too.
"""

from __future__ import annotations

import math
from typing import Any

from inferloom.mesh.errors import InvalidInput
from inferloom.mesh.oip import pb
from inferloom.services.rest.members import members, parsed, text
from inferloom.services.rest.parameters import read_parameters, write_parameters
from inferloom.services.rest.values import read_values, write_values
from inferloom.services.tensor import from_response

__all__ = ["generate_request", "generate_response"]


def generate_request(body: bytes, metadata: Any, model: str, version: str) -> Any:
    """A ModelInferRequest.

    Args:
        metadata: the model's ModelMetadataResponse.

    Raises:
        InvalidInput: naming the member.
    """
    found = parsed(body)
    message = pb.ModelInferRequest(model_name=model, model_version=version)
    if "id" in found:
        message.id = text(found, "id", "the body")
    inputs = {tensor.name: tensor for tensor in metadata.inputs}
    told = members(found.get("parameters", {}), "parameters")
    given = {key: value for key, value in found.items() if key not in ("id", "parameters")} | told
    others = {}
    for name, value in given.items():
        if name in inputs:
            _add(message, inputs[name], value)
        else:
            others[name] = value
    read_parameters(others, message.parameters, "parameters")
    return message


def generate_response(response: Any) -> dict[str, Any]:
    """Outputs by name: a value where there is one element, else a flat list."""
    found: dict[str, Any] = {"id": response.id} if response.id else {}
    found |= {"model_name": response.model_name, "model_version": response.model_version}
    found |= {k: v for k, v in write_parameters(response.parameters).items() if not k.startswith("triton_")}
    for name, tensor in from_response(response).items():
        values = write_values(tensor.raw, tensor.datatype, tensor.shape, name)
        found[name] = values[0] if len(values) == 1 else values
    return found


def _add(message: Any, spec: Any, value: Any) -> None:
    data = value if isinstance(value, list) else [value]
    shape = _shape(list(spec.shape), len(data), spec.name)
    message.inputs.add(name=spec.name, datatype=spec.datatype, shape=shape)
    message.raw_input_contents.append(read_values(data, spec.datatype, shape, f"'{spec.name}'"))


def _shape(shape: list[int], count: int, name: str) -> list[int]:
    fixed = math.prod(size for size in shape if size != -1)
    left, over = divmod(count, fixed) if fixed else (1, count)
    free = [at for at, size in enumerate(shape) if size == -1]
    if over or (left != 1 and not free):
        raise InvalidInput(f"'{name}': {count} values do not fill a tensor of shape {shape}; use .../infer")
    for at in reversed(free):
        shape[at], left = left, 1
    return shape
