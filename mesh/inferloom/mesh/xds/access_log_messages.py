"""The part of envoy.service.accesslog.v3 that is read, as messages of google.protobuf made here.

The router process takes these without envoy_data_plane, which would cost it half a second and 40 MB, and they are read faster
than by it. Fields that are left out are skipped by the parser; where the protocol's name is long, it is a shorter one here.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, duration_pb2, message_factory, struct_pb2, timestamp_pb2

__all__ = ["StreamAccessLogsMessage"]

PACKAGE = "inferloom.accesslog"  # a name of our own: another part of the process may have Envoy's
_TYPES = descriptor_pb2.FieldDescriptorProto
_WELL_KNOWN = ".google.protobuf."
_FIELDS: dict[str, dict[str, tuple[int, str]]] = {
    "Flags": {"downstream_connection_termination": (15, "bool"), "downstream_remote_reset": (28, "bool")},
    "Text": {"key": (1, "string"), "value": (2, "string")},  # an entry of a map of strings
    "Socket": {"address": (2, "string"), "port": (3, "uint32")},
    "Address": {"socket": (1, "Socket")},
    "Struct": {"key": (1, "string"), "value": (2, _WELL_KNOWN + "Struct")},
    "Metadata": {"filter_metadata": (1, "[Struct")},
    "Common": {
        "start_time": (5, _WELL_KNOWN + "Timestamp"),
        "sent": (7, _WELL_KNOWN + "Duration"),  # time_to_first_upstream_tx_byte, and so on: all from start_time
        "first_byte": (9, _WELL_KNOWN + "Duration"),  # of the replica's answer
        "last_byte": (10, _WELL_KNOWN + "Duration"),
        "replica": (13, "Address"),  # upstream_remote_address
        "upstream_cluster": (15, "string"),
        "response_flags": (16, "Flags"),
        "metadata": (17, "Metadata"),
        "transport_failure": (18, "string"),
        "route_name": (19, "string"),
        "tags": (22, "[Text"),
        "duration": (23, _WELL_KNOWN + "Duration"),
        "attempts": (24, "uint32"),
    },
    "Request": {
        "path": (5, "string"),
        "request_id": (9, "string"),
        "original_path": (10, "string"),
        "headers": (13, "[Text"),
    },
    "Number": {"value": (1, "uint32")},
    "Response": {"code": (1, "Number"), "headers": (4, "[Text"), "trailers": (5, "[Text")},
    "Entry": {"common": (1, "Common"), "request": (3, "Request"), "response": (4, "Response")},
    "Entries": {"entries": (1, "[Entry")},
    "Node": {"id": (1, "string")},
    "Identifier": {"node": (1, "Node")},
    "StreamAccessLogsMessage": {"identifier": (1, "Identifier"), "http_logs": (2, "Entries")},
}
_SCALARS = {"bool": _TYPES.TYPE_BOOL, "string": _TYPES.TYPE_STRING, "uint32": _TYPES.TYPE_UINT32}


def _file() -> descriptor_pb2.FileDescriptorProto:
    known = [module.DESCRIPTOR.name for module in (duration_pb2, struct_pb2, timestamp_pb2)]
    file = descriptor_pb2.FileDescriptorProto(name="inferloom/accesslog.proto", package=PACKAGE, dependency=known)
    file.syntax = "proto3"
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            label = _TYPES.LABEL_REPEATED if kind.startswith("[") else _TYPES.LABEL_OPTIONAL
            kind = kind.removeprefix("[")
            entry = message.field.add(name=field, number=number, label=label)
            if kind in _SCALARS:
                entry.type = _SCALARS[kind]
            else:
                entry.type = _TYPES.TYPE_MESSAGE
                entry.type_name = kind if kind.startswith(".") else f".{PACKAGE}.{kind}"
    return file


def _class() -> Any:
    pool = descriptor_pool.Default()
    pool.Add(_file())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.StreamAccessLogsMessage"))


StreamAccessLogsMessage = _class()
