"""The types of a Python function, prepared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inferloom.services.answerer import Description
from inferloom.services.signature import Signature
from inferloom.services.tensor import Tensor, Tensors
from inferloom.services.typed.inputs import Inputs
from inferloom.services.typed.outputs import Outputs

__all__ = ["FunctionTypes"]


class FunctionTypes:
    """Implements `types.Types`."""

    def __init__(self, where: str, signature: Signature, inputs: Inputs, outputs: Outputs) -> None:
        self.signature = signature
        self._where = where
        self._inputs = inputs
        self._outputs = outputs

    def __repr__(self) -> str:
        takes = ", ".join(map(str, self.signature.inputs))
        return f"<FunctionTypes {self._where}({takes}) -> {', '.join(map(str, self.signature.outputs))}>"

    def arguments(self, tensors: Tensors) -> dict[str, Any]:
        return self._inputs.decode(tensors)

    def result(self, value: Any) -> list[tuple[str, Tensor]]:
        return self._outputs.encode(value)

    def arguments_json(self, body: bytes) -> dict[str, Any]:
        return self._inputs.read(body)

    def result_json(self, value: Any) -> bytes:
        return self._outputs.write(value)

    def tensors_of(self, arguments: Mapping[str, Any]) -> dict[str, Tensor]:
        return self._inputs.encode(arguments)

    def value_of(self, tensors: Tensors) -> Any:
        return self._outputs.decode(tensors)

    def description(self, text: str = "") -> Description:
        return Description(text, self._inputs.schema(), self._outputs.schema(), self.signature.streams)
