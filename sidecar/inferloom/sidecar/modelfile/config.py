"""config.pbtxt: what inferloom adds to a model's Triton configuration. What its owner wrote stays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from inferloom.mesh.errors import InvalidInput
from inferloom.sidecar.modelfile.model import ModelFile
from inferloom.sidecar.modelfile.tensor import TensorType

__all__ = ["MAX_BATCH", "completed"]

# Rows that Triton may join into one run, and the most that one request may bring.
MAX_BATCH = 1024


def completed(
    text: str,
    name: str,
    model: ModelFile,
    *,
    gpus: int = 0,
    inputs: Sequence[TensorType] = (),
    outputs: Sequence[TensorType] = (),
    where: Path,
) -> str:
    """The configuration `text` ("" for none) with what is missing; `text` itself where nothing is.

    Set where missing: the name (Triton refuses one that is not the folder's), the backend and its parameters, all
    versions side by side (Triton's default unloads all but the newest), dynamic batching where the first dimension is a
    batch (without it Triton runs requests that were cancelled while queued), instances on CPU or GPU. Tensors only where
    the backend cannot read them from the file. Comments are kept unless a line of the owner has to change.
    Raises InvalidInput where `text` is no configuration.
    """
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2

    config: Any = model_config_pb2.ModelConfig()
    try:
        text_format.Parse(text, config)
    except text_format.ParseError as error:
        raise InvalidInput(f"'{where}': line {error}") from None
    added: Any = model_config_pb2.ModelConfig()
    known = config.backend or config.platform
    if known and model.backend and config.backend and config.backend != model.backend:
        raise InvalidInput(
            f"'{where}' is for backend '{config.backend}', and {model.description.partition(':')[0]} needs "
            f"'{model.backend}'; versions of one model share a backend, so give it a name of its own"
        )
    if not known:
        added.backend = model.backend
    if config.name != name:
        added.name = name
    _tensors(added, config, model, inputs, outputs)
    if not config.WhichOneof("scheduling_choice") and (config.max_batch_size or added.max_batch_size):
        added.dynamic_batching.SetInParent()
    if not config.instance_group and config.platform != "ensemble":
        kind = model_config_pb2.ModelInstanceGroup.KIND_GPU if gpus else model_config_pb2.ModelInstanceGroup.KIND_CPU
        added.instance_group.add(count=1, kind=kind)
    for key, value in model.parameters:
        if key not in config.parameters:
            added.parameters[key].string_value = value
        elif key == "model_type" and config.parameters[key].string_value != value:
            raise InvalidInput(
                f"'{where}' says model_type {config.parameters[key].string_value}, and '{model.path}' is {value}; versions "
                "of one model share the format, so save it in that one"
            )
    if not config.version_policy.HasField("all"):
        added.version_policy.all.SetInParent()
    if not added.ListFields():
        return text
    if (added.name and config.name) or (added.HasField("version_policy") and config.HasField("version_policy")):
        config.ClearField("version_policy")
        config.MergeFrom(added)
        return str(text_format.MessageToString(config))
    lines = text_format.MessageToString(added)
    return f"{text.rstrip()}\n\n# completed by inferloom\n{lines}" if text.strip() else str(lines)


def _tensors(
    added: Any, config: Any, model: ModelFile, inputs: Sequence[TensorType], outputs: Sequence[TensorType]
) -> None:
    """Batching, and the tensors where Triton's backend does not read them from the file itself."""
    given = bool(inputs or outputs)
    takes, gives = tuple(inputs) or model.inputs, tuple(outputs) or model.outputs
    batched = all(t.batched for t in (*takes, *gives)) if given else model.batched
    if not config.max_batch_size and not config.input and batched:
        added.max_batch_size = MAX_BATCH
    # Triton's native backend guesses at a batch dimension unless it is told all dimensions.
    needed = given or model.backend == "fil" or model.wrapper == "plain" or batched is False
    if not needed or not takes or not gives:
        return
    leading = bool(config.max_batch_size or added.max_batch_size)
    for tensors, present, target in ((takes, config.input, added.input), (gives, config.output, added.output)):
        for tensor in () if present else tensors:
            one = target.add(name=tensor.name, data_type=_data_type(tensor.datatype))
            dims = tensor.shape[1:] if leading else tensor.shape
            one.dims.extend(dims or (1,))
            # One value per row is [rows, 1] to clients; TorchScript sees and returns [rows]. Our wrappers do this themselves.
            if not dims and model.backend == "pytorch":
                one.reshape.SetInParent()


def _data_type(datatype: str) -> int:
    from tritonclient.grpc import model_config_pb2

    name = "TYPE_" + {"BYTES": "STRING"}.get(datatype, datatype)
    return int(model_config_pb2.DataType.Value(name))
