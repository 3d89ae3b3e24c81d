"""A step that calls a model, service or pipeline through the embedded router.

The head of the request (names, shapes, parameters) is made once for each combination of shapes; a call puts the tensors'
bytes behind it and copies each once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf import struct_pb2
from grpc import StatusCode

from inferloom.clients.tensors import Buffer
from inferloom.mesh.call import Call, Handler
from inferloom.mesh.catalog import Model, Repeat
from inferloom.mesh.errors import InvalidInput, ReplicaError
from inferloom.mesh.oip import MODEL_INFER, pb
from inferloom.mesh.resilience.budget import RetryBudget
from inferloom.services.composer.run import Frame
from inferloom.services.tensor import Tensor, from_response

__all__ = ["ModelCallee", "Models", "parameters_of"]

_RAW = bytes([pb.ModelInferRequest.RAW_INPUT_CONTENTS_FIELD_NUMBER << 3 | 2])
_PATH = MODEL_INFER.path
_parse = pb.ModelInferResponse.FromString
_NONE: frozenset[str] = frozenset()
HEADS = 256  # combinations of shapes that one step remembers


class Models:
    """What a step asks about models: the router's pool, or a test's dict.

    Args:
        call: the router.
        groups: the router's groups by model (`budget`, `model`).
        splits: its splits by model.
    """

    def __init__(self, call: Handler, groups: Mapping[str, Any], splits: Mapping[str, Any] = {}) -> None:
        self.call = call
        self._groups = groups
        self._splits = splits

    def budget(self, name: str) -> RetryBudget | None:
        group = self._groups.get(name)
        return None if group is None else group.budget

    def model(self, name: str) -> Model | None:
        group = self._groups.get(name)
        return None if group is None else group.model

    def units(self, names: Iterable[str]) -> frozenset[str]:
        """Metadata keys by whose values Splits of these models decide."""
        splits = self._splits
        if not splits:
            return _NONE
        return frozenset(live.split.by for name in names if (live := splits.get(name)) is not None)


class ModelCallee:
    """Calls one model.

    Args:
        outputs: those wanted; empty: all.
        parameters: serialised, see `parameters_of`.
    """

    def __init__(
        self, models: Models, model: str, version: str = "", outputs: Iterable[str] = (), parameters: bytes = b""
    ) -> None:
        self.label = f"model '{model}'" if not version else f"model '{model}' version {version}"
        self.model = model
        self.version = version
        self._models = models
        self._call = models.call
        request = pb.ModelInferRequest(model_name=model, model_version=version)
        for name in outputs:
            request.outputs.add(name=name)
        self._start: bytes = request.SerializeToString()
        self._end = parameters  # the step's own: behind the request's, for the last of a key wins
        self._heads: dict[Any, bytes] = {}

    async def call(self, tensors: Mapping[str, Tensor], frame: Frame, deadline: float) -> Mapping[str, Tensor]:
        """Its outputs. Raises what the router raises."""
        payload = self.payload(tensors, frame.parameters)
        reply = await self._call(Call(self.model, self.version, _PATH, payload, frame.metadata, deadline))
        try:
            return from_response(_parse(reply.payload))
        except InvalidInput as error:
            raise ReplicaError(StatusCode.INTERNAL, f"its answer cannot be read: {error}") from None

    def payload(self, tensors: Mapping[str, Tensor], parameters: bytes) -> bytes:
        """The request. `parameters` are the caller's, serialised."""
        key = tuple([(name, tensor[0], tensor[1]) for name, tensor in tensors.items()])
        head = self._heads.get(key) or self._head(key)
        parts: list[Buffer] = [head, parameters, self._end]
        for tensor in tensors.values():
            raw = tensor[2]
            parts += (_RAW, _varint(len(raw)), raw)
        return b"".join(parts)

    def repeatable(self) -> bool:
        """Whether it may be asked once more although it may have begun."""
        model = self._models.model(self.model)
        return model is not None and model.repeat is Repeat.ANY

    def spend(self, now: float) -> bool:
        """Take the price of one more call from the model's retry budget."""
        budget = self._models.budget(self.model)
        return budget is not None and budget.spend(now)

    def _head(self, key: tuple[tuple[str, str, tuple[int, ...]], ...]) -> bytes:
        request = pb.ModelInferRequest()
        for name, datatype, shape in key:
            request.inputs.add(name=name, datatype=datatype, shape=shape)
        head: bytes = self._start + request.SerializeToString()
        if len(self._heads) >= HEADS:
            self._heads.clear()
        self._heads[key] = head
        return head


def parameters_of(values: Mapping[str, struct_pb2.Value]) -> bytes:
    """A step's parameters, as fields of a ModelInferRequest. InvalidInput where one is a list or an object."""
    request = pb.ModelInferRequest()
    for key, value in values.items():
        kind = value.WhichOneof("kind")
        if kind == "bool_value":
            request.parameters[key].bool_param = value.bool_value
        elif kind == "string_value":
            request.parameters[key].string_param = value.string_value
        elif kind == "number_value" and value.number_value == int(value.number_value):
            request.parameters[key].int64_param = int(value.number_value)
        elif kind == "number_value":
            request.parameters[key].double_param = value.number_value
        else:
            raise InvalidInput(f"parameter '{key}' must be text, a number or true/false")
    return bytes(request.SerializeToString())


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
