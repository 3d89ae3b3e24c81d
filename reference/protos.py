"""protos/inferloom/v1 with its comments, from the descriptors that protoc makes with their source."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2

annotations_pb2: Any = import_module("google.api.annotations_pb2")  # has no types

__all__ = ["Call", "Entry", "Enum", "File", "Message", "Service", "files_of"]

ROOT = Path(__file__).resolve().parent.parent / "protos"
PACKAGE = ".inferloom.v1."
MESSAGE, ENUM, SERVICE = 4, 5, 6  # numbers of fields in FileDescriptorProto: the beginning of a path
Field = descriptor_pb2.FieldDescriptorProto
Path_ = tuple[int, ...]
Comments = Mapping[Path_, str]


@dataclass(frozen=True, slots=True)
class Entry:
    """A field of a message. `type` is a scalar's name, or a message's or enum's; of a map the type of its values."""

    name: str
    type: str
    number: int
    text: str
    repeated: bool = False
    map: bool = False
    oneof: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """A message; a nested one has its outer one's name before its own, with a dot."""

    name: str
    text: str
    fields: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Enum:
    """An enum, its values by name."""

    name: str
    text: str
    values: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Call:
    """A method of a service. `path` is its path in HTTP, where it has one."""

    name: str
    text: str
    request: str
    response: str
    streams: tuple[bool, bool]  # requests, answers
    path: str = ""


@dataclass(frozen=True, slots=True)
class Service:
    """A gRPC service."""

    name: str
    text: str
    calls: tuple[Call, ...]


@dataclass(frozen=True, slots=True)
class File:
    """What a .proto file declares, in its order."""

    name: str  # "mesh.proto"
    messages: tuple[Message, ...] = ()
    enums: tuple[Enum, ...] = ()
    services: tuple[Service, ...] = field(default=())

    def message(self, name: str) -> Message:
        return next(message for message in self.messages if message.name == name)


@cache
def files_of() -> dict[str, File]:
    """Each file by its name. Raises CalledProcessError where protoc refuses one."""
    paths = sorted((ROOT / "inferloom" / "v1").glob("*.proto"))
    # google/api/annotations.proto lies beside its module, in googleapis-common-protos
    common = Path(str(annotations_pb2.__file__)).parents[2]
    own = files("grpc_tools").joinpath("_proto")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "set"
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT}", f"-I{common}", f"-I{own}"]
        command += [f"--descriptor_set_out={out}", "--include_source_info", *map(str, paths)]
        subprocess.run(command, check=True)
        found = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    return {Path(each.name).name: _file(each) for each in found.file}


def _file(file: descriptor_pb2.FileDescriptorProto) -> File:
    comments = {
        tuple(place.path): _paragraphs(f"{place.leading_comments} {place.trailing_comments}")
        for place in file.source_code_info.location
    }
    messages = [m for n, each in enumerate(file.message_type) for m in _messages(each, (MESSAGE, n), comments, "")]
    enums = [
        Enum(each.name, comments.get((ENUM, n), ""), {value.name: value.number for value in each.value})
        for n, each in enumerate(file.enum_type)
    ]
    services = [_service(each, (SERVICE, n), comments) for n, each in enumerate(file.service)]
    return File(Path(file.name).name, tuple(messages), tuple(enums), tuple(services))


def _paragraphs(comment: str) -> str:
    return "\n\n".join(" ".join(each.split()) for each in re.split(r"\n\s*\n", comment) if each.strip())


def _messages(
    message: descriptor_pb2.DescriptorProto, path: Path_, comments: Comments, outer: str
) -> Iterator[Message]:
    name = f"{outer}{message.name}"
    maps = {inner.name: inner for inner in message.nested_type if inner.options.map_entry}
    fields = [_entry(each, message, maps, comments.get((*path, 2, n), "")) for n, each in enumerate(message.field)]
    yield Message(name, comments.get(path, ""), tuple(fields))
    for number, inner in enumerate(message.nested_type):
        if not inner.options.map_entry:
            yield from _messages(inner, (*path, 3, number), comments, f"{name}.")


def _entry(entry: Field, message: descriptor_pb2.DescriptorProto, maps: Mapping[str, Any], text: str) -> Entry:
    inner = maps.get(entry.type_name.rpartition(".")[2])
    kind = _type(inner.field[1] if inner is not None else entry)
    many = entry.label == Field.LABEL_REPEATED
    oneof = message.oneof_decl[entry.oneof_index].name if entry.HasField("oneof_index") else ""
    return Entry(
        entry.name,
        kind,
        entry.number,
        text,
        repeated=many and inner is None,
        map=inner is not None,
        oneof="" if entry.proto3_optional else oneof,
    )


def _type(entry: Field) -> str:
    if entry.type_name:
        return entry.type_name.removeprefix(PACKAGE).removeprefix(".")
    return Field.Type.Name(entry.type).removeprefix("TYPE_").lower()


def _service(service: descriptor_pb2.ServiceDescriptorProto, path: Path_, comments: Comments) -> Service:
    calls = [
        Call(
            each.name,
            comments.get((*path, 2, number), ""),
            each.input_type.removeprefix(PACKAGE),
            each.output_type.removeprefix(PACKAGE),
            (each.client_streaming, each.server_streaming),
            each.options.Extensions[annotations_pb2.http].get,
        )
        for number, each in enumerate(service.method)
    ]
    return Service(service.name, comments.get(path, ""), tuple(calls))
