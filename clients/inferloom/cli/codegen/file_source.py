"""Faces of models by their files, without a mesh."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from inferloom.cli.codegen.source import Source
from inferloom.cli.up.declared import declared
from inferloom.cli.up.documents import KIND, ModelSpec
from inferloom.clients.metadata import ModelMetadata, TensorSpec
from inferloom.mesh.errors import InvalidInput
from inferloom.services.proto.face import Face
from inferloom.services.proto.hints import Hints
from inferloom.services.proto.model import model_face
from inferloom.sidecar.modelfile.config import MAX_BATCH, completed
from inferloom.sidecar.modelfile.recognise import recognise
from inferloom.sidecar.modelfile.tensor import TensorType

__all__ = ["from_files", "metadata_of"]

_DATATYPES = {"STRING": "BYTES"}  # Triton's configuration calls it so


async def from_files(source: Path, names: Sequence[str]) -> list[Source]:
    """The models of a file, a model's folder, or a folder with a mesh.yaml.

    Args:
        names: of the models; none: all. Of a single model: what to call it.

    Raises:
        InvalidInput: there is no such model, or only loading it tells its types.
    """
    alone = names[0] if len(names) == 1 and _is_model(source) else None
    documents = (await declared(source, name=alone)).documents("")
    found = {name: ModelSpec.from_json(name, spec) for (kind, name), spec in documents.items() if kind == KIND}
    for name in names:
        if name not in found:
            has = (
                f"it has {', '.join(found)}"
                if found
                else "it has no models; services and pipelines are asked in a mesh"
            )
            raise InvalidInput(f"'{source}' has no model '{name}'; {has}")
    if not found:
        raise InvalidInput(
            f"'{source}' has no models, and services and pipelines tell their types only when they run: start them with "
            "`inferloom up`, and leave out --from"
        )
    return [_source(found[name]) for name in names or found]


def metadata_of(spec: ModelSpec) -> ModelMetadata:
    """What Triton would tell of the newest version, as far as its files say.

    Raises:
        InvalidInput: only loading it tells; says the way out.
    """
    version = next(reversed(list(spec.versions.values())))
    model = recognise(version.source)
    takes = tuple(map(TensorType.parse, version.inputs))
    gives = tuple(map(TensorType.parse, version.outputs))
    where = version.source / "config.pbtxt"
    text = where.read_text() if version.source.is_dir() and where.is_file() else ""
    config = _config(completed(text, spec.name, model, inputs=takes, outputs=gives, where=where))
    batches = bool(config.max_batch_size) or (not text and bool(model.batched))
    inputs = _tensors(config.input, batches) or _specs(takes or model.inputs, batches)
    outputs = _tensors(config.output, batches) or _specs(gives or model.outputs, batches)
    if not inputs or not outputs:
        raise InvalidInput(
            f"what '{version.source}' takes and gives is known only when it is loaded: serve it with `inferloom up`, then "
            f"`inferloom codegen {spec.name}` without --from"
        )
    most = config.max_batch_size or (MAX_BATCH if batches else 0)
    decoupled = bool(config.model_transaction_policy.decoupled)
    return ModelMetadata(spec.name, tuple(spec.versions), model.backend, inputs, outputs, most, decoupled)


def _source(spec: ModelSpec) -> Source:
    metadata = metadata_of(spec)
    hints = Hints.from_json(spec.hints)

    def face(part: str, taken: frozenset[str]) -> Face:
        return model_face(metadata, hints, taken=taken, part=part)

    return Source(spec.name, face)


def _config(text: str) -> Any:
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2

    return text_format.Parse(text, model_config_pb2.ModelConfig())


def _tensors(given: Any, batches: bool) -> tuple[TensorSpec, ...]:
    """A configuration's tensors with their whole shapes."""
    from tritonclient.grpc import model_config_pb2

    found = []
    for each in given:
        name = model_config_pb2.DataType.Name(each.data_type).removeprefix("TYPE_")
        shape = (*([-1] if batches else []), *each.dims)
        found.append(TensorSpec(each.name, _DATATYPES.get(name, name), shape, getattr(each, "optional", False)))
    return tuple(found)


def _specs(tensors: Sequence[TensorType], batches: bool) -> tuple[TensorSpec, ...]:
    """A file's tensors with the shapes that Triton tells: a row has a dimension beside the batch (ADR 5)."""
    shapes = [(*each.shape, 1) if batches and len(each.shape) == 1 else each.shape for each in tensors]
    return tuple(TensorSpec(each.name, each.datatype, shape) for each, shape in zip(tensors, shapes, strict=True))


def _is_model(source: Path) -> bool:
    try:
        recognise(source)
    except InvalidInput:
        return False
    return True
