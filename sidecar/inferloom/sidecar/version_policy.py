"""The configuration a model is loaded with, so that a new version never unloads another.

Triton's default version policy is `latest { num_versions: 1 }`: adding 2 unloads 1. Where a model's config.pbtxt does
not choose a policy, the sidecar loads it with `all`, or with the versions that are known to load.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2

from inferloom.mesh.errors import InvalidInput

__all__ = ["load_config"]


def load_config(folder: Path, only: Sequence[str] | None = None) -> dict[str, Any] | None:
    """What to send as the `config` parameter of a load; None: the model's own configuration, unchanged.

    Args:
        folder: the model's, with config.pbtxt or without one.
        only: load these versions and no others.

    Raises:
        InvalidInput: config.pbtxt cannot be read.
    """
    path = folder / "config.pbtxt"
    config: dict[str, Any] = {}
    if path.exists():
        try:
            message = text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())
        except (text_format.ParseError, UnicodeDecodeError, OSError) as error:
            raise InvalidInput(f"{path}: {error}") from None
        if only is None and message.HasField("version_policy"):
            return None
        config = json_format.MessageToDict(message, preserving_proto_field_name=True)
    config["version_policy"] = {"all": {}} if only is None else {"specific": {"versions": list(only)}}
    return config
