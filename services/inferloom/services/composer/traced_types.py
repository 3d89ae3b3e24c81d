"""What a pipeline's annotations say: the inputs of its graph, and what its outputs should be.

`-> Outputs` (or no annotation) says nothing of the outputs: they are the tensors that the graph gives.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any

from inferloom.clients.metadata import TensorSpec
from inferloom.mesh.errors import ConfigError, InvalidInput
from inferloom.services.answerer import Description
from inferloom.services.composer.constants import value_of
from inferloom.services.composer.outputs import Outputs
from inferloom.services.signature import Signature
from inferloom.services.tensor import Tensor, Tensors
from inferloom.services.typed import Types, tensor_types, types_of
from inferloom.v1 import graph_pb2

__all__ = ["Annotated", "annotated", "argument_types", "is_open", "types_for"]

_SINGLE = "result"


class Annotated:
    """Inputs as TensorTypes, and outputs by name where the function is annotated with them."""

    def __init__(self, reference: str, inputs: list[graph_pb2.TensorType], outputs: Mapping[str, TensorSpec] | None):
        self.reference = reference
        self.inputs = inputs
        self._outputs = outputs  # None: not said

    @property
    def single(self) -> bool:
        """Whether it is annotated with one value, which is called `result`."""
        return self._outputs is not None and self._outputs.keys() == {_SINGLE}

    def output(self, name: str, source: str) -> graph_pb2.Output:
        spec = (self._outputs or {}).get(name)
        if spec is None:
            return graph_pb2.Output(name=name, source=source)
        return graph_pb2.Output(name=name, source=source, datatype=spec.datatype, shape=spec.shape)

    def missing(self, names: set[str]) -> list[str]:
        """Annotated outputs that are not among `names`."""
        return [name for name in self._outputs or () if name not in names]


def annotated(function: Callable[..., Any], where: str) -> Annotated:
    """Raises ConfigError where an annotation is missing or cannot be a tensor, or a default no constant."""
    types = types_of(_closed(function), where=where)
    inputs = []
    for spec in types.signature.inputs:
        default = inspect.signature(function).parameters[spec.name].default
        tensor = graph_pb2.TensorType(name=spec.name, datatype=spec.datatype, shape=spec.shape, optional=spec.optional)
        if spec.optional and default is not None:
            try:
                tensor.default.CopyFrom(value_of(default))
            except InvalidInput as error:
                raise ConfigError(f"{where}, argument {spec.name}: its default: {error}") from None
        inputs.append(tensor)
    outputs = None if is_open(function) else {spec.name: spec for spec in types.signature.outputs}
    return Annotated(f"{function.__module__}:{function.__qualname__}", inputs, outputs)


def types_for(function: Callable[..., Any], where: str, signature: Signature) -> Types:
    """The types that a pipeline answers by: JSON and arguments by its annotations.

    Args:
        signature: of the checked graph, for the outputs where `-> Outputs` leaves them open.
    """
    types = types_of(_closed(function), where=where)
    return _OpenTypes(types, tensor_types(signature, where)) if is_open(function) else types


def argument_types(function: Callable[..., Any], where: str) -> Types:
    """Its types; of one that leaves its outputs open those of the arguments alone."""
    return types_of(_closed(function), where=where)


class _OpenTypes:
    """Arguments of the function's types, outputs of the graph's tensors."""

    def __init__(self, arguments: Types, results: Types) -> None:
        self._results = results
        self._arguments = arguments
        self.signature = results.signature

    def arguments(self, tensors: Tensors) -> dict[str, Any]:
        return self._arguments.arguments(tensors)

    def arguments_json(self, body: bytes) -> dict[str, Any]:
        return self._arguments.arguments_json(body)

    def tensors_of(self, arguments: Mapping[str, Any]) -> dict[str, Tensor]:
        return self._arguments.tensors_of(arguments)

    def result(self, value: Any) -> list[tuple[str, Tensor]]:
        return self._results.result(value)

    def result_json(self, value: Any) -> bytes:
        return self._results.result_json(value)

    def value_of(self, tensors: Tensors) -> Any:
        return self._results.value_of(tensors)

    def description(self, text: str = "") -> Description:
        results = self._results.description(text)
        return Description(text, self._arguments.description(text).request, results.response, results.streams)


def is_open(function: Callable[..., Any]) -> bool:
    """Whether its annotation leaves the outputs open: `-> Outputs`, or none."""
    answer = function.__annotations__.get("return", Outputs)
    if isinstance(answer, str):  # `from __future__ import annotations`
        return answer.rpartition(".")[2] == "Outputs" or answer.partition("[")[0] in ("dict", "Any")
    return answer in (Outputs, Any, dict) or getattr(answer, "__origin__", None) is dict


def _closed(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function without its result where that is open: a copy, since its annotations are the user's."""
    if not is_open(function) or not isinstance(function, FunctionType):
        return function
    copy = FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    copy.__kwdefaults__, copy.__qualname__, copy.__module__ = (
        function.__kwdefaults__,
        function.__qualname__,
        function.__module__,
    )
    copy.__annotations__ = {**function.__annotations__, "return": None}
    return copy
