"""Types of what has tensors only: a pipeline written in YAML. Its values are Tensors by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json, to_json

from inferloom.clients.metadata import TensorSpec
from inferloom.mesh.errors import InvalidInput, Violation
from inferloom.services.answerer import Description
from inferloom.services.signature import Signature
from inferloom.services.tensor import Tensor, Tensors
from inferloom.services.typed.codec import ONE, sizes
from inferloom.services.typed.faults import meant, shown, told
from inferloom.services.typed.nested import Misfit, fits, from_lists, lists_schema, to_lists

__all__ = ["TensorTypes", "tensor_types"]


class TensorTypes:
    """Implements `types.Types`: nested lists by datatype and shape; a tensor of shape [1] may be, and is, one value.

    BYTES are text where they are UTF-8, else {"base64": "..."}.
    """

    def __init__(self, signature: Signature, name: str) -> None:
        self.signature = signature
        self._name = name
        self._inputs = {spec.name: spec for spec in signature.inputs}
        self._outputs = {spec.name: spec for spec in signature.outputs}

    def __repr__(self) -> str:
        return f"<TensorTypes {self._takes()}>"

    def arguments(self, tensors: Tensors) -> dict[str, Any]:
        for name, spec in self._inputs.items():
            tensor = tensors.get(name)
            if tensor is None:
                if not spec.optional:
                    raise InvalidInput(f"input '{name}' is missing; {self._takes()}")
            elif not _fits(tensor, spec):
                got = f"{tensor.datatype} {sizes(tensor.shape)}"
                raise InvalidInput(
                    f"input '{name}' of {self._name} takes {spec.datatype} {sizes(spec.shape)}, got {got}"
                )
        for name in tensors:
            if name not in self._inputs:
                raise InvalidInput(f"no input '{shown(name)}'{meant(name, self._inputs)}; {self._takes()}")
        return dict(tensors)

    def result(self, value: Any) -> list[tuple[str, Tensor]]:
        return [(name, value[name]) for name in self._outputs]

    def arguments_json(self, body: bytes) -> dict[str, Any]:
        try:
            given = from_json(body, allow_inf_nan=False)
        except ValueError as error:
            raise InvalidInput(f"the body is no JSON: {error}") from None
        if not isinstance(given, dict):
            raise InvalidInput(f"the body: takes an object; {self._takes()}")
        found, faults = {}, []
        for name, spec in self._inputs.items():
            if name not in given:
                if not spec.optional:
                    faults.append(Violation(name, "is missing"))
                continue
            try:
                found[name] = _read(given[name], spec)
            except Misfit as misfit:
                faults.append(Violation(f"{name}{misfit.path}", misfit.what))
        faults += [
            Violation(shown(name), f"is not known{meant(name, self._inputs)}; {self._takes()}")
            for name in given.keys() - self._inputs
        ]
        if faults:
            raise told(faults)
        return found

    def result_json(self, value: Any) -> bytes:
        written = {name: _write(value[name], spec) for name, spec in self._outputs.items() if name in value}
        return to_json(written, inf_nan_mode="strings")

    def tensors_of(self, arguments: Mapping[str, Any]) -> dict[str, Tensor]:
        return self.arguments(dict(arguments))

    def value_of(self, tensors: Tensors) -> Any:
        return dict(tensors)

    def description(self, text: str = "") -> Description:
        required = [name for name, spec in self._inputs.items() if not spec.optional]
        request = _object(self._inputs) | {"required": required, "additionalProperties": False}
        response = _object(self._outputs) | {"required": list(self._outputs)}
        return Description(text, request, response, self.signature.streams)

    def _takes(self) -> str:
        return f"{self._name} takes {', '.join(map(str, self._inputs.values())) or 'nothing'}"


def tensor_types(signature: Signature, name: str) -> TensorTypes:
    """The types of what has this signature; `name` for messages."""
    return TensorTypes(signature, name)


def _fits(tensor: Tensor, spec: TensorSpec) -> bool:
    if tensor.datatype != spec.datatype:
        return False
    return fits(tensor.shape, spec.shape) or (spec.shape == (1,) and tensor.shape in ONE)


def _read(value: Any, spec: TensorSpec) -> Tensor:
    if spec.shape == (1,) and not isinstance(value, list):
        value = [value]
    return Tensor.of(from_lists(value, spec.datatype, spec.shape), spec.datatype, spec.name)


def _write(tensor: Tensor, spec: TensorSpec) -> Any:
    lists = to_lists(tensor.array)
    return lists[0] if spec.shape == (1,) and isinstance(lists, list) and len(lists) == 1 else lists


def _object(specs: Mapping[str, TensorSpec]) -> dict[str, Any]:
    return {"type": "object", "title": "", "properties": {name: _schema(spec) for name, spec in specs.items()}}


def _schema(spec: TensorSpec) -> dict[str, Any]:
    if spec.shape == (1,):
        return dict(lists_schema(spec.datatype, (1,))["items"])
    return lists_schema(spec.datatype, spec.shape)
