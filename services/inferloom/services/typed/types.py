"""What a function or a pipeline takes and gives, ready to be read and written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from inferloom.services.answerer import Description
from inferloom.services.signature import Signature
from inferloom.services.tensor import Tensor, Tensors

__all__ = ["RESULT", "Types"]

RESULT = "result"  # the output of what has no named fields


class Types(Protocol):
    """The two faces of one thing: tensors by name, and JSON.

    A serving side reads `arguments` or `arguments_json` and writes `result` or `result_json`; a calling side writes
    `tensors_of` and reads `value_of`. Of a stream, results and values are those of one answer.
    """

    @property
    def signature(self) -> Signature: ...

    def arguments(self, tensors: Tensors) -> dict[str, Any]:
        """Arguments by name; those with a default may be absent.

        Raises:
            InvalidInput: a tensor is missing, unknown, of another datatype or shape, or its contents do not fit.
        """

    def result(self, value: Any) -> list[tuple[str, Tensor]]:
        """The outputs. TypeError where the function returned something else than it is annotated with."""

    def arguments_json(self, body: bytes) -> dict[str, Any]:
        """As `arguments`, from a JSON object. InvalidInput names the path of each fault, up to five."""

    def result_json(self, value: Any) -> bytes:
        """The result as JSON. TypeError as `result`."""

    def tensors_of(self, arguments: Mapping[str, Any]) -> dict[str, Tensor]:
        """The inputs for arguments by name. InvalidInput as `arguments`."""

    def value_of(self, tensors: Tensors) -> Any:
        """The result in outputs. InvalidInput where one is missing or does not fit."""

    def description(self, text: str = "") -> Description:
        """For OpenAPI; `text` is the first paragraph of the docstring."""
