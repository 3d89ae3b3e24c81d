"""Parameters of requests, tensors and answers: JSON scalars and InferParameter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from inferloom.mesh.errors import InvalidInput
from inferloom.services.rest.members import members

__all__ = ["BINARY", "BINARY_OUTPUT", "BINARY_SIZE", "read_parameters", "write_parameters"]

BINARY, BINARY_OUTPUT, BINARY_SIZE = "binary_data", "binary_data_output", "binary_data_size"
RESERVED = "triton_"  # as in Triton: keys that only a server may set
SHARED = "shared_memory_region"


def read_parameters(found: Any, into: Any, place: str, own: Iterable[str] = ()) -> dict[str, Any]:
    """Put a JSON object's members into a message's `parameters`.

    Args:
        found: the object; None where there is none.
        own: keys about how tensors travel over REST; they go no further.

    Returns:
        those of `own` that were there.

    Raises:
        InvalidInput: a value is no scalar, or asks for memory shared with a server.
    """
    told: dict[str, Any] = {}
    for key, value in members({} if found is None else found, place).items():
        if key in own:
            told[key] = value
        elif key == SHARED:
            raise InvalidInput(f"{place}.{SHARED}: no memory is shared through the mesh; send the data itself")
        elif key.startswith(RESERVED):
            raise InvalidInput(f"{place}.{key}: keys that begin with '{RESERVED}' are the server's own")
        else:
            _set(into[key], value, f"{place}.{key}")
    return told


def write_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """As a JSON object."""
    return {
        key: getattr(each, each.WhichOneof("parameter_choice") or "string_param") for key, each in parameters.items()
    }


def _set(parameter: Any, value: Any, place: str) -> None:
    if isinstance(value, bool):
        parameter.bool_param = value
    elif isinstance(value, int) and -(2**63) <= value < 2**63:
        parameter.int64_param = value
    elif isinstance(value, int) and 0 <= value < 2**64:
        parameter.uint64_param = value
    elif isinstance(value, float):
        parameter.double_param = value
    elif isinstance(value, str):
        parameter.string_param = value
    else:
        raise InvalidInput(f"{place}: takes true or false, a number or a string, got {value!r:.40}")
