"""The descriptor of a face: what protoc makes of its text, comments aside."""

from __future__ import annotations

from google.api import annotations_pb2  # type: ignore[attr-defined, import-untyped, unused-ignore]
from google.protobuf import descriptor_pb2, struct_pb2

from inferloom.services.proto.face import SCALARS, VALUE, Enumeration, Face, Field, Message, Method

__all__ = ["file_descriptor", "file_descriptor_set", "imports"]

_Kind = descriptor_pb2.FieldDescriptorProto
_TYPES = {name: _Kind.Type.Value(f"TYPE_{name.upper()}") for name in SCALARS}


def file_descriptor(face: Face, *, http: bool = True) -> descriptor_pb2.FileDescriptorProto:
    """The file `face.file`.

    Args:
        http: with the google.api.http annotations; without them nothing but protobuf itself is imported.
    """
    file = descriptor_pb2.FileDescriptorProto(name=face.file, package=face.package, syntax="proto3")
    file.dependency.extend(imports(face, http=http))
    for message in face.messages:
        _message(face, message, file.message_type.add())
    for enumeration in face.enums:
        _enum(enumeration, file.enum_type.add())
    service = file.service.add(name=face.service)
    for method in face.methods:
        _method(face, method, service.method.add(), http)
    return file


def imports(face: Face, *, http: bool = True) -> list[str]:
    """The files that the proto imports, in their order."""
    needed = [annotations_pb2.DESCRIPTOR.name] if http else []
    if any(field.type == VALUE for message in face.messages for field in message.fields):
        needed.append(struct_pb2.DESCRIPTOR.name)
    return needed


def file_descriptor_set(*faces: Face) -> descriptor_pb2.FileDescriptorSet:
    """The files of these faces after everything they import: as protoc --include_imports writes them."""
    files: dict[str, descriptor_pb2.FileDescriptorProto] = {}
    for known in (annotations_pb2.DESCRIPTOR, struct_pb2.DESCRIPTOR):
        _collect(known, files)
    for face in faces:
        files[face.file] = file_descriptor(face)
    return descriptor_pb2.FileDescriptorSet(file=files.values())


def _collect(known: object, files: dict[str, descriptor_pb2.FileDescriptorProto]) -> None:
    for dependency in known.dependencies:  # type: ignore[attr-defined]
        _collect(dependency, files)
    copy = descriptor_pb2.FileDescriptorProto()
    known.CopyToProto(copy)  # type: ignore[attr-defined]
    files[copy.name] = copy


def _message(face: Face, message: Message, made: descriptor_pb2.DescriptorProto) -> None:
    made.name = message.name
    for field in message.fields:
        _field(face, message, field, made)
    made.reserved_name.extend(message.reserved.names)
    for number in message.reserved.numbers:
        made.reserved_range.add(start=number, end=number + 1)


def _field(face: Face, message: Message, field: Field, made: descriptor_pb2.DescriptorProto) -> None:
    added = made.field.add(name=field.name, number=field.number)
    added.label = _Kind.LABEL_REPEATED if field.repeated or field.mapped else _Kind.LABEL_OPTIONAL
    if field.mapped:
        entry = made.nested_type.add(name=f"{_camel(field.name)}Entry")
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, label=_Kind.LABEL_OPTIONAL, type=_Kind.TYPE_STRING)
        value = entry.field.add(name="value", number=2, label=_Kind.LABEL_OPTIONAL)
        _type(face, field.type, value)
        added.type = _Kind.TYPE_MESSAGE
        added.type_name = f".{face.package}.{message.name}.{entry.name}"
        return
    _type(face, field.type, added)
    if field.optional and not field.repeated:
        # As protoc does: presence of a proto3 field is a oneof of its own.
        added.proto3_optional = True
        added.oneof_index = len(made.oneof_decl)
        made.oneof_decl.add(name=f"_{field.name}")


def _type(face: Face, name: str, made: descriptor_pb2.FieldDescriptorProto) -> None:
    if name in _TYPES:
        made.type = _TYPES[name]
        return
    made.type = _Kind.TYPE_ENUM if face.enum(name) is not None else _Kind.TYPE_MESSAGE
    made.type_name = f".{name}" if name == VALUE else f".{face.package}.{name}"


def _enum(enumeration: Enumeration, made: descriptor_pb2.EnumDescriptorProto) -> None:
    made.name = enumeration.name
    made.value.add(name=enumeration.zero, number=0)
    for name, number, _ in enumeration.values:
        made.value.add(name=name, number=number)
    made.reserved_name.extend(enumeration.reserved.names)
    for number in enumeration.reserved.numbers:
        made.reserved_range.add(start=number, end=number)  # of enums both ends belong to it


def _method(face: Face, method: Method, made: descriptor_pb2.MethodDescriptorProto, http: bool) -> None:
    made.name = method.name
    made.input_type = f".{face.package}.{method.request}"
    made.output_type = f".{face.package}.{method.response}"
    if method.streams:
        made.server_streaming = True
    if http:
        rule = made.options.Extensions[annotations_pb2.http]
        if method.verb == "get":
            rule.get = method.path
        else:
            rule.post, rule.body = method.path, "*"


def _camel(name: str) -> str:
    """As protoc calls the entry of a map: a_b2 -> AB2."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))
