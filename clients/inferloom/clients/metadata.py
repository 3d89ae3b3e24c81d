"""What a model takes and gives: its metadata, as a value."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from inferloom.clients.json_text import JSON_PARAMETER

__all__ = ["ModelInfo", "ModelMetadata", "TensorSpec"]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor that a model takes or gives. A size of -1 may be any; the first one usually is the batch."""

    name: str
    datatype: str  # of the Open Inference Protocol: FP32, INT64, BYTES, ...
    shape: tuple[int, ...]
    optional: bool = False  # an input the model can do without
    json: bool = field(default=False, compare=False)  # an input whose one text is JSON

    def __str__(self) -> str:
        sizes = ",".join(map(str, self.shape))
        return f"{self.name} {self.datatype} [{sizes}]{' (optional)' if self.optional else ''}"


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """A model's inputs and outputs, as ModelMetadata and ModelConfig of the protocol tell them."""

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    max_batch_size: int | None = None  # 0: the model does no batching; None: no configuration is to be had
    decoupled: bool = False  # any number of answers per request: only a stream can carry them

    @property
    def configured(self) -> bool:
        """Whether the server also told the configuration, without which nobody knows which inputs are optional."""
        return self.max_batch_size is not None

    def takes(self) -> str:
        return f"{self.name} takes {_listed(self.inputs)}"

    def gives(self) -> str:
        return f"{self.name} gives {_listed(self.outputs)}"

    def __str__(self) -> str:
        return f"{self.takes()}; gives {_listed(self.outputs)}"

    @staticmethod
    def of(metadata: Any, config: Any | None = None) -> ModelMetadata:
        """From a ModelMetadataResponse and, where there is one, a ModelConfigResponse's `config`."""
        optional = {tensor.name for tensor in config.input if tensor.optional} if config is not None else frozenset()
        jsons = _json_inputs(config) if config is not None else frozenset()
        return ModelMetadata(
            name=metadata.name,
            versions=tuple(metadata.versions),
            platform=metadata.platform,
            inputs=tuple(
                TensorSpec(t.name, t.datatype, tuple(t.shape), t.name in optional, t.name in jsons)
                for t in metadata.inputs
            ),
            outputs=tuple(TensorSpec(t.name, t.datatype, tuple(t.shape)) for t in metadata.outputs),
            max_batch_size=config.max_batch_size if config is not None else None,
            decoupled=config is not None and config.model_transaction_policy.decoupled,
        )


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One line of the list of models."""

    name: str
    versions: tuple[str, ...]  # ready ones, oldest first
    ready: bool
    replicas: int = 1  # 1 where the server is a single Triton
    problem: str = ""  # why it, or one of its versions, is not ready

    def __str__(self) -> str:
        state = "ready" if self.ready else f"not ready: {self.problem or 'no replica serves it'}"
        return f"{self.name} (versions {', '.join(self.versions) or 'none'}; {state})"


def _json_inputs(config: Any) -> frozenset[str]:
    if JSON_PARAMETER not in config.parameters:  # asking for the key would add it
        return frozenset()
    return frozenset(json.loads(config.parameters[JSON_PARAMETER].string_value))


def _listed(tensors: tuple[TensorSpec, ...]) -> str:
    return ", ".join(map(str, tensors)) or "nothing"
