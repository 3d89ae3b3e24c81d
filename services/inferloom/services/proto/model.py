"""The face of a model: from its metadata and what its owner hints."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from inferloom.clients.metadata import ModelMetadata, TensorSpec
from inferloom.mesh.errors import ConfigError
from inferloom.services.proto.describe import DESCRIBED, describe_method, description_messages
from inferloom.services.proto.face import (
    INPUT_ROW,
    NOTICED,
    OUTPUT_ROW,
    ROWS,
    Face,
    Field,
    Message,
    Method,
    TensorBinding,
)
from inferloom.services.proto.hints import Hints, TensorHint
from inferloom.services.proto.names import Names, camel, segment
from inferloom.services.proto.tensors import Parts, bind

__all__ = ["batches", "http_path", "model_face", "service_name"]

_MESSAGES = (
    *("PredictRequest", "PredictResponse", "PredictStreamRequest", "PredictStreamResponse", INPUT_ROW, OUTPUT_ROW),
    *DESCRIBED,
)


def model_face(
    metadata: ModelMetadata, hints: Hints | None = None, *, major: int = 1, taken: Collection[str] = (), part: str = ""
) -> Face:
    """The face of a model, its fields not yet numbered: see `lock.numbered`.

    Args:
        metadata: as Triton, a host or a file tells it.
        taken: parts of packages that other names have.
        part: of the package, where a lock knows it.

    Raises:
        ConfigError: a hint does not fit the model; says which, and what would.
    """
    hints = hints or Hints()
    _check(hints.inputs, metadata.inputs, metadata.name, "input")
    _check(hints.outputs, metadata.outputs, metadata.name, "output")
    rows = batches(metadata, hints)
    where, warning = segment(metadata.name, taken, part)
    parts = Parts(_MESSAGES)
    inputs, takes, escaped_in = _side(metadata.inputs, hints.inputs, parts, rows, request=True)
    outputs, gives, escaped_out = _side(metadata.outputs, hints.outputs, parts, rows, request=False)
    method = "PredictStream" if metadata.decoupled else "Predict"
    request = Message(f"{method}Request", takes, () if rows else (NOTICED,))
    response = Message(f"{method}Response", gives)
    messages: tuple[Message, ...] = (request, response)
    if rows:
        into = Field(ROWS, 0, INPUT_ROW, repeated=True, required=True, comment=(_most(metadata),))
        out = Field(ROWS, 0, OUTPUT_ROW, repeated=True, comment=("One for each row of the request, in its order.",))
        messages = (
            replace(request, fields=(into,)),
            replace(response, fields=(out,)),
            Message(INPUT_ROW, takes, (NOTICED,)),
            Message(OUTPUT_ROW, gives, ("The answer for one row.",)),
        )
    path = http_path(metadata.name)
    comment = ("Answers as the model gives them, one by one." if metadata.decoupled else "Calls the model.",)
    predict = Method(method, request.name, response.name, "post", path, metadata.decoupled, comment)
    return Face(
        name=metadata.name,
        major=major,
        package=f"inferloom.models.{where}.v{major}",
        service=service_name(metadata.name),
        methods=(predict, describe_method(path)),
        messages=(*messages, *parts.messages, *description_messages(typed=False)),
        enums=tuple(parts.enums),
        rows=rows,
        most_rows=(metadata.max_batch_size or 0) if rows else 0,
        inputs=inputs,
        outputs=outputs,
        comment=(hints.description,) if hints.description else (),
        warnings=(*([warning] if warning else []), *escaped_in, *escaped_out, *parts.warnings),
        example=hints.example,
    )


def batches(metadata: ModelMetadata, hints: Hints) -> bool:
    """Whether the first dimension of every tensor is the batch.

    Where the configuration is not to be had, the metadata's shapes say: -1 comes first in all of them.

    Raises:
        ConfigError: the hints say so, and a tensor has no dimension that may be any size in the first place.
    """
    tensors = (*metadata.inputs, *metadata.outputs)
    free = bool(tensors) and all(tensor.shape[:1] == (-1,) for tensor in tensors)
    if hints.rows is None:
        return free and (bool(metadata.max_batch_size) or metadata.max_batch_size is None)
    if hints.rows and not free:
        fixed = next((str(tensor) for tensor in tensors if tensor.shape[:1] != (-1,)), "it has no tensors")
        raise ConfigError(f"'{metadata.name}': rows: true needs a first dimension of -1 everywhere: {fixed}")
    if not hints.rows and metadata.max_batch_size:
        raise ConfigError(f"'{metadata.name}' batches (max_batch_size {metadata.max_batch_size}): it has rows")
    return hints.rows


def service_name(name: str) -> str:
    """IrisService, for iris and for IrisService."""
    made = camel(name)
    return made if made.endswith("Service") and made != "Service" else f"{made}Service"


def http_path(name: str) -> str:
    return f"/v1/{name}"


def _side(
    tensors: Sequence[TensorSpec], hints: Mapping[str, TensorHint], parts: Parts, rows: bool, *, request: bool
) -> tuple[tuple[TensorBinding, ...], tuple[Field, ...], list[str]]:
    names = Names("input" if request else "output")
    bindings: list[TensorBinding] = []
    fields: list[Field] = []
    for spec in tensors:
        binding, made = bind(spec, hints.get(spec.name, TensorHint()), names, parts, rows=rows, request=request)
        bindings.append(binding)
        fields += made
    return tuple(bindings), tuple(fields), names.warnings


def _check(hints: Mapping[str, TensorHint], tensors: Sequence[TensorSpec], name: str, side: str) -> None:
    known = [tensor.name for tensor in tensors]
    for key in hints:
        if key not in known:
            raise ConfigError(f"hints of '{name}': there is no {side} '{key}'; there are {', '.join(known) or 'none'}")


def _most(metadata: ModelMetadata) -> str:
    return f"At least one, at most {metadata.max_batch_size}." if metadata.max_batch_size else "At least one."
