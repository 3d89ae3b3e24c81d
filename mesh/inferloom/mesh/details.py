"""The details of an error, as google.rpc has them: https://google.aip.dev/193."""

from __future__ import annotations

from collections.abc import Iterable

from google.protobuf.any_pb2 import Any as Packed
from google.rpc.code_pb2 import INVALID_ARGUMENT
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status

from inferloom.mesh.violation import Violation

__all__ = ["bad_request"]

ROOM = 1500  # characters of all violations: gRPC's trailing metadata has room for 8 KiB


def bad_request(message: str, violations: Iterable[Violation]) -> bytes:
    """A serialised google.rpc.Status with a BadRequest, for the trailing metadata `grpc-status-details-bin`."""
    details = BadRequest()
    room = ROOM
    for field, description in violations:
        room -= len(field) + len(description)
        if room < 0 and details.field_violations:
            break
        details.field_violations.add(field=field[:ROOM], description=description[:ROOM])
    packed = Packed()
    packed.Pack(details)
    return bytes(Status(code=INVALID_ARGUMENT, message=message, details=[packed]).SerializeToString())
