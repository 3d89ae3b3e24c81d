"""Random metadata and JSON Schemas for the property tests of protos, and protoc to compare with."""

from __future__ import annotations

import tempfile
from importlib.resources import files
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2
from grpc_tools import protoc  # type: ignore[import-untyped]
from hypothesis import strategies as st

from inferloom.clients.datatypes import NUMPY
from inferloom.clients.metadata import ModelMetadata, TensorSpec
from inferloom.services.proto.hints import ColumnHint, Hints, TensorHint

NAMES = st.one_of(
    st.sampled_from(
        ["x", "X", "input", "input_1", "input.1", "class", "rows", "values", "a__b", "a_b", "1st", "Größe", ""]
    ),
    st.text(max_size=12),
    st.from_regex(r"[a-zA-Z][a-zA-Z0-9_]{0,10}", fullmatch=True),
)
SIZES = st.sampled_from([-1, 1, 2, 3])


@st.composite
def tensors(draw: st.DrawFn, rows: bool, optional: bool) -> tuple[TensorSpec, ...]:
    found = []
    for name in draw(st.lists(NAMES, max_size=5, unique=True)):
        shape = tuple(draw(st.lists(SIZES, max_size=4)))
        whole = (-1, *shape) if rows else shape
        found.append(TensorSpec(name, draw(st.sampled_from(sorted(NUMPY))), whole, optional and draw(st.booleans())))
    return tuple(found)


@st.composite
def tensor_hints(draw: st.DrawFn, spec: TensorSpec, rows: bool) -> TensorHint:
    shape = spec.shape[1:] if rows else spec.shape
    columns: tuple[ColumnHint, ...] = ()
    if 1 <= len(shape) <= 2 and shape[-1] > 1 and draw(st.booleans()):
        columns = tuple(ColumnHint(draw(NAMES), draw(st.text(max_size=200)), draw(NAMES)) for _ in range(shape[-1]))
    labelled = spec.datatype == "BYTES" or "INT" in spec.datatype
    labels = tuple(draw(st.lists(st.text(max_size=8), max_size=4, unique=True))) if labelled else ()
    enum = bool(labels) and draw(st.booleans())
    return TensorHint(draw(NAMES), draw(st.text(max_size=40)), columns=columns, labels=labels, enum=enum)


@st.composite
def models(draw: st.DrawFn) -> tuple[ModelMetadata, Hints]:
    """Metadata with any names, and hints that fit it."""
    rows = draw(st.booleans())
    inputs, outputs = draw(tensors(rows, True)), draw(tensors(rows, False))
    most = 8 if rows else 0
    name = draw(st.from_regex(r"[A-Za-z0-9._-]{1,20}", fullmatch=True))
    metadata = ModelMetadata(name, ("1",), "", inputs, outputs, most, draw(st.booleans()))
    batched = rows and bool(inputs or outputs)
    sides = [{each.name: draw(tensor_hints(each, batched)) for each in side} for side in (inputs, outputs)]
    return metadata, Hints(draw(st.text(max_size=300)), None, sides[0], sides[1])


_LEAVES: st.SearchStrategy[Any] = st.sampled_from(
    [
        {"type": "string"},
        {"type": "string", "contentEncoding": "base64"},
        {"type": "string", "enum": ["a", "b"], "description": "one\nof */ two"},
        {"type": "integer"},
        {"type": "integer", "minimum": 0, "maximum": 255},
        {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
        {"type": "integer", "minimum": 0, "maximum": 2**64 - 1},
        {"type": "number", "default": 1.5},
        {"type": "boolean"},
        {"type": "null"},
        {},
        {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        {"anyOf": [{"type": "number"}, {"type": "null"}]},
        {"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]},
        {"type": "object"},
        {"$ref": "#/$defs/Node"},
        {"$ref": "#/$defs/Kind"},
    ]
)
_DEFINITIONS = {
    "Node": {
        "type": "object",
        "title": "Node",
        "properties": {"kids": {"type": "array", "items": {"$ref": "#/$defs/Node"}}, "name": {"type": "string"}},
        "required": ["name"],
    },
    "Kind": {"type": "string", "enum": ["x", "y"]},
}


def _nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = inner.map(lambda items: {"type": "array", "items": items})
    maps = inner.map(lambda values: {"type": "object", "additionalProperties": values})
    pairs = inner.map(lambda items: {"type": "array", "prefixItems": [items, items], "minItems": 2, "maxItems": 2})
    return lists | maps | pairs | objects(inner)


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    def whole(properties: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": properties,
            "required": sorted(properties)[::2],
            "additionalProperties": False,
        }

    return st.dictionaries(NAMES, inner, max_size=4).map(whole)


SCHEMAS: st.SearchStrategy[Any] = st.recursive(_LEAVES, _nested, max_leaves=8)
REQUESTS = objects(SCHEMAS).map(lambda schema: {**schema, "$defs": _DEFINITIONS})
RESPONSES = SCHEMAS.map(lambda schema: {**schema, "$defs": _DEFINITIONS})


def compiled(name: str, text: str) -> descriptor_pb2.FileDescriptorProto:
    """What protoc makes of a proto, without json_name, which it always adds."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / name, Path(folder) / "set.pb"
        source.parent.mkdir(parents=True)
        source.write_text(text)
        google = files("google.api").joinpath("annotations.proto")
        includes = [f"-I{folder}", f"-I{Path(str(google)).parents[2]}", f"-I{files('grpc_tools').joinpath('_proto')}"]
        status = protoc.main(["protoc", *includes, f"--descriptor_set_out={target}", str(source)])
        assert status == 0, text
        found = descriptor_pb2.FileDescriptorSet.FromString(target.read_bytes()).file[0]
    for message in found.message_type:
        for each in (message, *message.nested_type):
            for field in each.field:
                field.ClearField("json_name")
    return found
