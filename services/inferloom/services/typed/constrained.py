"""A type with constraints, such as `Annotated[int, Field(ge=0)]`: checked on the way in, whichever way that is."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from inferloom.mesh.errors import InvalidInput
from inferloom.services.tensor import Tensor
from inferloom.services.typed.codec import Codec
from inferloom.services.typed.faults import invalid
from inferloom.services.typed.json_adapter import JsonAdapter

__all__ = ["ConstrainedCodec"]


class ConstrainedCodec:
    """The codec of the bare type, and pydantic's word on its values."""

    def __init__(self, inner: Codec, annotation: Any) -> None:
        self._inner = inner
        self._adapter = JsonAdapter(annotation)
        self.annotation = annotation
        self.datatype = inner.datatype
        self.shape = inner.shape

    def decode(self, tensor: Tensor, label: str) -> Any:
        try:
            return self._adapter.check(self._inner.decode(tensor, label))
        except ValidationError as error:
            raise InvalidInput(f"{label}: {str(invalid(error)).removeprefix('the body: ')}") from None

    def encode(self, value: Any, label: str) -> Tensor:
        return self._inner.encode(value, label)

    def plain(self, value: Any, label: str) -> Any:
        return self._inner.plain(value, label)
