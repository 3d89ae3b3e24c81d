"""What a pipeline's document may hold: the messages of graph.proto, as YAML has them."""

from __future__ import annotations

from reference.markdown import Undescribed, code, described, sentence, table
from reference.meanings import GRAPH
from reference.protos import Entry, Message, files_of

__all__ = ["text"]

ROOT = "Graph"
SCALARS = {
    "string": "text",
    "int64": "whole number",
    "uint32": "whole number",
    "bool": "true or false",
    "double": "number",
    "google.protobuf.Value": "any value",
}


def text() -> str:
    """A section for each message, the spec itself first. Raises Undescribed."""
    messages = files_of()["graph.proto"].messages
    known = {f"{message.name}.{entry.name}" for message in messages for entry in message.fields}
    if gone := GRAPH.keys() - known:
        raise Undescribed(f"graph.proto has no {', '.join(sorted(gone))}")
    return "\n".join(_section(message) for message in messages)


def _section(message: Message) -> str:
    rows = [_row(message, entry) for entry in message.fields if (message.name, entry.name) != (ROOT, "name")]
    head = "" if message.name == ROOT else f"### pipeline: {message.name}\n\n"
    about = "" if message.name == ROOT or not message.text else f"{message.text}\n\n"
    return f"{head}{about}{table(('field', 'type', 'one of', 'meaning'), rows)}"


def _row(message: Message, entry: Entry) -> tuple[str, ...]:
    where = f"{message.name}.{entry.name}"
    own = GRAPH.get(where) or entry.text
    return code(entry.name), _type(entry), f"`{entry.oneof}`" if entry.oneof else "", sentence(described(own, where))


def _type(entry: Entry) -> str:
    kind = SCALARS.get(entry.type) or f"[{entry.type}](#pipeline-{entry.type.lower()})"
    if entry.map:
        return f"mapping to {kind}"
    return f"list of {kind}" if entry.repeated else kind
