"""The proto of a face, as a person reads it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from inferloom.services.proto.descriptor import imports
from inferloom.services.proto.face import Enumeration, Face, Field, Message, Method, Reserved

__all__ = ["proto_text"]

_WIDTH = 100


def proto_text(face: Face, *, http: bool = True) -> str:
    """The text of `face.file`. protoc makes `descriptor.file_descriptor` of it.

    Args:
        http: with the google.api.http annotations; without them nothing but protobuf itself is imported.
    """
    lines = [f"// The face of {_plain(face.name)} in the mesh. Written by `inferloom codegen`."]
    lines += [*_comment(face.comment, "")]
    lines += ["", 'syntax = "proto3";', "", f"package {face.package};", ""]
    needed = imports(face, http=http)
    if needed:
        lines += [*(f'import "{name}";' for name in needed), ""]
    lines += _service(face, http)
    for message in face.messages:
        lines += ["", *_message(message)]
    for enumeration in face.enums:
        lines += ["", *_enum(enumeration)]
    return "\n".join(lines) + "\n"


def _service(face: Face, http: bool) -> Iterator[str]:
    yield f"service {face.service} {{"
    for number, method in enumerate(face.methods):
        if number:
            yield ""
        yield from _comment(method.comment, "  ")
        yield from _method(method, http)
    yield "}"


def _method(method: Method, http: bool) -> Iterator[str]:
    answer = f"{'stream ' if method.streams else ''}{method.response}"
    head = f"  rpc {method.name}({method.request}) returns ({answer})"
    if not http:
        yield f"{head};"
        return
    yield f"{head} {{"
    yield "    option (google.api.http) = {"
    yield f'      {method.verb}: "{method.path}"'
    if method.verb == "post":
        yield '      body: "*"'
    yield "    };"
    yield "  }"


def _message(message: Message) -> Iterator[str]:
    yield from _comment(message.comment, "")
    if not message.fields and message.reserved == Reserved():
        yield f"message {message.name} {{}}"
        return
    yield f"message {message.name} {{"
    yield from _reserved(message.reserved)
    for field in message.fields:
        yield from _comment(field.comment, "  ")
        yield f"  {_typed(field)} {field.name} = {field.number};"
    yield "}"


def _typed(field: Field) -> str:
    if field.mapped:
        return f"map<string, {field.type}>"
    word = "repeated " if field.repeated else "optional " if field.optional else ""
    return f"{word}{field.type}"


def _enum(enumeration: Enumeration) -> Iterator[str]:
    yield from _comment(enumeration.comment, "")
    yield f"enum {enumeration.name} {{"
    yield from _reserved(enumeration.reserved)
    yield f"  {enumeration.zero} = 0;"
    for name, number, label in enumeration.values:
        yield f"  {name} = {number}; // {_plain(label)}"
    yield "}"


def _reserved(reserved: Reserved) -> Iterator[str]:
    if reserved.numbers:
        yield f"  reserved {', '.join(map(str, reserved.numbers))};"
    if reserved.names:
        names = ", ".join(f'"{name}"' for name in reserved.names)
        yield f"  reserved {names};"


def _comment(paragraphs: Iterable[str], indent: str) -> Iterator[str]:
    for paragraph in paragraphs:
        line = ""
        for word in _plain(paragraph).split():
            if line and len(indent) + len(line) + len(word) + 4 > _WIDTH:
                yield f"{indent}// {line}"
                line = word
            else:
                line = f"{line} {word}".strip()
        if line:
            yield f"{indent}// {line}"


def _plain(text: str) -> str:
    """On one line, without what a terminal or protoc would take for something else."""
    return "".join(char if char.isprintable() else " " for char in text)
