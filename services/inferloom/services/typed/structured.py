"""Everything that has no tensor of its own: JSON in one element of BYTES."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from inferloom.clients.datatypes import BYTES
from inferloom.mesh.errors import InvalidInput
from inferloom.services.tensor import Tensor
from inferloom.services.typed.codec import ONE, wrong
from inferloom.services.typed.faults import invalid
from inferloom.services.typed.json_adapter import JsonAdapter
from inferloom.services.typed.scalars import element, framed

__all__ = ["JsonCodec"]


class JsonCodec:
    """Dataclasses, pydantic models, dicts, optional values, unions: what pydantic reads and writes.

    Raises:
        ConfigError: pydantic does not.
    """

    datatype = BYTES
    shape = (1,)

    def __init__(self, annotation: Any) -> None:
        self.annotation = annotation
        self._adapter = JsonAdapter(annotation)

    def decode(self, tensor: Tensor, label: str) -> Any:
        if tensor.datatype != BYTES or tensor.shape not in ONE:
            raise wrong(self, tensor, label)
        try:
            return self._adapter.read(element(tensor.raw, label))
        except ValidationError as error:
            raise InvalidInput(f"{label}: {invalid(error)}") from None

    def encode(self, value: Any, label: str) -> Tensor:
        try:
            return framed(self._adapter.write(value))
        except PydanticSerializationError as error:
            raise InvalidInput(f"{label}: {' '.join(str(error).split())}") from None

    def plain(self, value: Any, label: str) -> Any:
        return value
