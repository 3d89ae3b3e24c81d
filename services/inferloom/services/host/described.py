"""Metadata and configuration of what a host serves, in the messages of the Open Inference Protocol."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from inferloom.clients.json_text import JSON_PARAMETER
from inferloom.clients.metadata import TensorSpec
from inferloom.mesh.oip import pb
from inferloom.services.answerer import Answerer

__all__ = ["config_of", "metadata_of"]

_CONFIG = pb.ModelConfigResponse.DESCRIPTOR.fields_by_name["config"].message_type
_TYPES = _CONFIG.file.enum_types_by_name["DataType"].values_by_name


def metadata_of(answerer: Answerer, versions: Sequence[str]) -> Any:
    """A ModelMetadataResponse: inputs and outputs as the signature has them; the platform says what it is."""
    signature = answerer.signature
    answer = pb.ModelMetadataResponse(
        name=answerer.name, versions=versions, platform=f"inferloom_{answerer.kind.value}"
    )
    for into, tensors in ((answer.inputs, signature.inputs), (answer.outputs, signature.outputs)):
        for tensor in tensors:
            into.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
    return answer


def config_of(answerer: Answerer) -> Any:
    """A ModelConfigResponse: which inputs are optional or JSON, whether it streams, and how large a batch it takes.

    An answerer that batches has an attribute `max_batch_size`; as in Triton the sizes then leave out the batch's.
    """
    signature = answerer.signature
    most = int(getattr(answerer, "max_batch_size", 0))
    answer = pb.ModelConfigResponse()
    config = answer.config
    config.name = answerer.name
    config.platform = f"inferloom_{answerer.kind.value}"
    config.max_batch_size = most
    config.model_transaction_policy.decoupled = signature.streams
    for tensor in signature.inputs:
        config.input.add(name=tensor.name, data_type=_type(tensor), dims=_dims(tensor, most), optional=tensor.optional)
    for tensor in signature.outputs:
        config.output.add(name=tensor.name, data_type=_type(tensor), dims=_dims(tensor, most))
    if jsons := [tensor.name for tensor in signature.inputs if tensor.json]:
        config.parameters[JSON_PARAMETER].string_value = json.dumps(jsons)
    return answer


def _type(tensor: TensorSpec) -> int:
    name = "STRING" if tensor.datatype == "BYTES" else tensor.datatype
    return int(_TYPES[f"TYPE_{name}"].number)


def _dims(tensor: TensorSpec, most: int) -> tuple[int, ...]:
    return tensor.shape[1:] if most else tensor.shape
