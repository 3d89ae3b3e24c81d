"""An answer, its tensors by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from grpc import StatusCode

from inferloom.clients.tensors import decode, decode_typed
from inferloom.mesh.errors import InferloomError, InvalidInput, ReplicaError
from inferloom.mesh.oip import pb

__all__ = ["InferResult", "parameter_value"]

Array = np.ndarray[Any, Any]
Pairs = tuple[tuple[str, str | bytes], ...]


class InferResult(Mapping[str, Array]):
    """A model's answer: `out["label"]`, or `out.label` where that name is not taken by an attribute below.

    Arrays are read-only views on the bytes received (`.copy()` makes one that can be written); BYTES are object arrays
    of bytes, `text` makes str of them; BF16 is float32.

    Attributes:
        model, version: who answered.
        id: the request's id, as it was sent.
        parameters: the answer's parameters.
        metadata: trailing gRPC metadata (of a stream: empty).
        error: of a stream's message that failed, where errors are yielded; None otherwise. Asking it for a tensor raises it.
    """

    __slots__ = ("_tensors", "datatypes", "error", "id", "metadata", "model", "parameters", "version")

    def __init__(self, response: Any, metadata: Pairs = (), error: InferloomError | None = None) -> None:
        self.model: str = response.model_name
        self.version: str = response.model_version
        self.id: str = response.id
        self.parameters: dict[str, Any] = {k: parameter_value(v) for k, v in response.parameters.items()}
        self.metadata = metadata
        self.error = error
        self.datatypes: dict[str, str] = {tensor.name: tensor.datatype for tensor in response.outputs}
        self._tensors = _tensors(response)

    @property
    def final(self) -> bool:
        """Whether no further answer to this request follows, as far as the server tells (decoupled models)."""
        return bool(self.parameters.get("triton_final_response", True))

    def text(self, name: str) -> Array:
        """A BYTES tensor as an object array of str.

        Raises:
            UnicodeDecodeError: an element is no UTF-8.
        """
        array = self[name]
        texts = np.empty(array.shape, dtype=object)
        texts.ravel()[:] = [element.decode() for element in array.ravel()]
        return texts

    def __getitem__(self, name: str) -> Array:
        if self.error is not None:
            raise self.error
        return self._tensors[name]

    def __getattr__(self, name: str) -> Array:
        if name.startswith("_") or name in InferResult.__slots__:  # not set yet, as in a copy
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError:
            has = ", ".join(self._tensors) or "no tensor"
            raise AttributeError(f"the answer of {self.model} has no '{name}'; it has {has}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._tensors]

    def __repr__(self) -> str:
        if self.error is not None:
            return f"<InferResult id {self.id}: {self.error}>"
        shown = ", ".join(f"{n} {self.datatypes[n]} {list(a.shape)}" for n, a in self._tensors.items())
        return f"<InferResult {self.model}:{self.version} {shown or 'no tensor'}>"


def parameter_value(parameter: pb.InferParameter) -> Any:
    """The value of an InferParameter, whatever its kind; None where it has none."""
    kind = parameter.WhichOneof("parameter_choice")
    return getattr(parameter, kind) if kind else None


def _tensors(response: Any) -> dict[str, Array]:
    tensors: dict[str, Array] = {}
    raws = response.raw_output_contents
    try:
        if raws and len(raws) != len(response.outputs):
            raise InvalidInput(f"{len(response.outputs)} outputs came with {len(raws)} contents")
        for index, tensor in enumerate(response.outputs):
            shape = tuple(tensor.shape)
            if raws:
                tensors[tensor.name] = decode(raws[index], tensor.datatype, shape, tensor.name)
            else:
                tensors[tensor.name] = decode_typed(tensor.contents, tensor.datatype, shape, tensor.name)
    except InvalidInput as error:
        raise ReplicaError(
            StatusCode.INTERNAL, f"the answer of {response.model_name} cannot be read: {error}"
        ) from None
    return tensors
