"""A ModelInferResponse, its tensors' raw contents left where they are."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError
from grpc import StatusCode

from inferloom.mesh.errors import ReplicaError
from inferloom.mesh.oip import pb

__all__ = ["without_raws"]

_RAW = pb.ModelInferResponse.RAW_OUTPUT_CONTENTS_FIELD_NUMBER << 3 | 2
_LENGTH = 2


def without_raws(payload: bytes) -> tuple[Any, list[memoryview]]:
    """The message without them, and views on them.

    Raises:
        ReplicaError: the bytes are no such message (INTERNAL).
    """
    view = memoryview(payload)
    raws: list[memoryview] = []
    rest: list[memoryview] = []
    at, end = 0, len(payload)
    try:
        while at < end:
            begin = at
            tag, at = _varint(payload, at)
            if tag & 7 != _LENGTH:  # none of its fields is, but for those that nobody knows
                return pb.ModelInferResponse.FromString(payload), []
            size, at = _varint(payload, at)
            if at + size > end:
                raise IndexError
            if tag == _RAW:
                raws.append(view[at : at + size])
            else:
                rest.append(view[begin : at + size])
            at += size
        return pb.ModelInferResponse.FromString(b"".join(rest)), raws
    except (IndexError, DecodeError):
        raise ReplicaError(StatusCode.INTERNAL, "the model's answer is no ModelInferResponse") from None


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise IndexError
