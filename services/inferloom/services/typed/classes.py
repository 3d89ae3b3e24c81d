"""Message classes of a face, made at run time: no generated code."""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, struct_pb2
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from inferloom.services.proto.descriptor import file_descriptor
from inferloom.services.proto.face import VALUE, Face

__all__ = ["message_classes"]


def message_classes(face: Face) -> dict[str, Any]:
    """The classes by the messages' names. Their descriptors are in a pool of their own, which goes when they go."""
    pool = DescriptorPool()
    if any(field.type == VALUE for message in face.messages for field in message.fields):
        copy = descriptor_pb2.FileDescriptorProto()
        struct_pb2.DESCRIPTOR.CopyToProto(copy)
        pool.Add(copy)
    pool.Add(file_descriptor(face, http=False))
    return {
        message.name: GetMessageClass(pool.FindMessageTypeByName(f"{face.package}.{message.name}"))
        for message in face.messages
    }
