"""A REST inference request as a ModelInferRequest.

Shape of the JSON: the Open Inference Protocol's `inference_request`, with Triton's binary tensor data extension: the JSON
ends after `Inference-Header-Content-Length` bytes, and the contents of inputs with the parameter `binary_data_size`
follow it, one after the other.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from inferloom.mesh.errors import InvalidInput
from inferloom.mesh.oip import pb
from inferloom.services.rest.members import boolean, listed, members, parsed, sizes, text
from inferloom.services.rest.parameters import BINARY, BINARY_OUTPUT, BINARY_SIZE, read_parameters
from inferloom.services.rest.values import read_values

__all__ = ["HEADER_LENGTH", "InferRequest", "Wanted", "header_length", "read_request"]

HEADER_LENGTH = "Inference-Header-Content-Length"


class Wanted(NamedTuple):
    """Which outputs are to come in binary."""

    binary: frozenset[str] = frozenset()  # of those that were named
    others: bool = False  # where none was named (`binary_data_output`)
    named: bool = False

    def in_binary(self, name: str) -> bool:
        return name in self.binary if self.named else self.others


class InferRequest(NamedTuple):
    """What was asked, and how the answer is to be written."""

    message: Any  # a ModelInferRequest; contents are raw
    wanted: Wanted


def header_length(value: str | None) -> int | None:
    """Of the header `Inference-Header-Content-Length`: bytes; None where there is none."""
    if value is None:
        return None
    if not (value.isascii() and value.isdecimal() and len(value) < 16):
        raise InvalidInput(f"header '{HEADER_LENGTH}': takes a number of bytes, got {value[:40]!r}")
    return int(value)


def read_request(body: bytes, length: int | None, model: str, version: str) -> InferRequest:
    """The message for a model and (or "") its version.

    Args:
        length: of the JSON at the body's beginning, in bytes; None: all of it.

    Raises:
        InvalidInput: naming the member, or the input.
    """
    end = len(body) if length is None else length
    if end > len(body):
        raise InvalidInput(f"header '{HEADER_LENGTH}' says {end} bytes, and the body has {len(body)}")
    found = parsed(body if end == len(body) else body[:end])
    message = pb.ModelInferRequest(model_name=model, model_version=version)
    if "id" in found:
        message.id = text(found, "id", "the body")
    told = read_parameters(found.get("parameters"), message.parameters, "parameters", (BINARY_OUTPUT,))
    others = boolean(told.get(BINARY_OUTPUT, False), f"parameters.{BINARY_OUTPUT}")
    if "inputs" not in found:
        raise InvalidInput("inputs: is missing")
    at = end
    for number, each in enumerate(listed(found["inputs"], "inputs")):
        at = _input(message, members(each, f"inputs[{number}]"), f"inputs[{number}]", body, at)
    if at != len(body):
        raise InvalidInput(f"{len(body) - at} bytes of binary data are left over after the last input")
    binary = set()
    outputs = listed(found.get("outputs", []), "outputs")
    for number, each in enumerate(outputs):
        if _output(message, members(each, f"outputs[{number}]"), f"outputs[{number}]"):
            binary.add(message.outputs[-1].name)
    return InferRequest(message, Wanted(frozenset(binary), others, bool(outputs)))


def _input(message: Any, found: dict[str, Any], place: str, body: bytes, at: int) -> int:
    """Add one input; where the binary data of the next begins."""
    tensor = message.inputs.add(name=text(found, "name", place))
    place = f"{place} '{tensor.name[:80]}'"
    tensor.datatype = text(found, "datatype", place)
    shape = sizes(found.get("shape"), f"{place}.shape")
    tensor.shape.extend(shape)
    told = read_parameters(found.get("parameters"), tensor.parameters, f"{place}.parameters", (BINARY_SIZE,))
    size = told.get(BINARY_SIZE)
    if size is None:
        if "data" not in found:
            raise InvalidInput(f"{place}.data: is missing, and so is the parameter {BINARY_SIZE}")
        message.raw_input_contents.append(read_values(found["data"], tensor.datatype, shape, place))
        return at
    if type(size) is not int or size < 0:
        raise InvalidInput(f"{place}.parameters.{BINARY_SIZE}: takes a number of bytes, got {size!r:.40}")
    if at + size > len(body):
        raise InvalidInput(
            f"{place}: {size} bytes of binary data are announced, and {len(body) - at} are left after the JSON "
            f"(its length is told in the header '{HEADER_LENGTH}')"
        )
    message.raw_input_contents.append(body[at : at + size])
    return at + size


def _output(message: Any, found: dict[str, Any], place: str) -> bool:
    """Add one output; whether it is wanted in binary."""
    tensor = message.outputs.add(name=text(found, "name", place))
    told = read_parameters(found.get("parameters"), tensor.parameters, f"{place}.parameters", (BINARY,))
    return boolean(told.get(BINARY, False), f"{place}.parameters.{BINARY}")
