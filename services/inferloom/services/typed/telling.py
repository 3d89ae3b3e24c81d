"""What Describe answers, over gRPC and over HTTP."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from inferloom.services.proto.face import TensorBinding
from inferloom.services.typed.served import Served

__all__ = ["telling"]


def telling(served: Served, versions: Sequence[str]) -> dict[str, Any]:
    """The fields of a DescribeResponse."""
    face = served.face
    told: dict[str, Any] = {"name": face.name, "versions": list(versions), "description": " ".join(face.comment)}
    if served.described is not None:
        told["request_schema"] = json.dumps(served.described.request)
        told["response_schema"] = json.dumps(served.described.response)
    if served.metadata is not None:
        told["platform"] = served.metadata.platform
        told["max_rows"] = face.most_rows
        told["inputs"] = [_tensor(binding) for binding in face.inputs]
        told["outputs"] = [_tensor(binding) for binding in face.outputs]
    return told


def _tensor(binding: TensorBinding) -> dict[str, Any]:
    tensor = binding.tensor
    return {
        "name": tensor.name,
        "datatype": tensor.datatype,
        "shape": list(tensor.shape),
        "optional": tensor.optional,
        "fields": list(binding.fields),
        "labels": list(binding.labels),
    }
