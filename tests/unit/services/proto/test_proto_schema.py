from __future__ import annotations

import datetime
import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from pydantic import BaseModel, Field

from inferloom.clients.metadata import TensorSpec
from inferloom.services.answerer import Description
from inferloom.services.proto.face import Coding, Face, Shape
from inferloom.services.proto.lock import numbered
from inferloom.services.proto.schema import service_face
from inferloom.services.signature import Signature
from inferloom.services.typed import shape, types_of
from inferloom.services.typed.tensor_types import tensor_types


class Kind(enum.Enum):
    CAT = "cat"
    DOG = "dog"


@dataclass
class Node:
    name: str
    kids: list[Node]
    score: float | None = None


class Box(BaseModel):
    top: Annotated[int, Field(ge=0, le=10)]
    pair: tuple[int, str]
    names: dict[str, list[float]]


class Seen(NamedTuple):
    label: int
    picture: Annotated[npt.NDArray[np.uint8], shape(-1, -1, 3)]
    when: datetime.datetime
    root: Node


def face_of(function: Callable[..., Any], name: str = "f") -> Face:
    described = types_of(function, where="f").description("What it does.")
    return numbered(service_face(name, described, f"/v1/{name}"))[0]


def see(
    png: bytes,
    kind: Kind,
    root: Node,
    box: Box,
    either: int | str,
    imageUrl: str,  # noqa: N803
    count: int = 3,
    tags: list[str] = [],  # noqa: B006
) -> Seen:
    raise NotImplementedError


def test_arguments_and_answers_have_their_types() -> None:
    face = face_of(see)
    fields = {field.name: field for field in face.message("PredictRequest").fields}
    assert {name: (field.type, field.repeated, field.optional) for name, field in fields.items()} == {
        "png": ("bytes", False, True),
        "kind": ("string", False, True),
        "root": ("Node", False, False),
        "box": ("Box", False, False),
        "either": ("google.protobuf.Value", False, False),
        "image_url": ("string", False, True),
        "count": ("int64", False, True),
        "tags": ("string", True, False),
    }
    assert (fields["image_url"].key, fields["png"].coding) == ("imageUrl", Coding.BASE64)
    assert [name for name, field in fields.items() if not field.required] == ["count", "tags"]
    assert fields["kind"].comment == ("One of cat, dog.",)
    assert fields["count"].comment == ("May be absent: then 3.",)
    answer = {field.name: (field.type, field.repeated) for field in face.message("PredictResponse").fields}
    assert answer == {
        "label": ("int64", False),
        "picture": ("Int32RowList", True),
        "when": ("string", False),
        "root": ("Node", False),
    }


def test_definitions_become_messages_once_and_may_hold_themselves() -> None:
    face = face_of(see)
    assert [message.name for message in face.messages].count("Node") == 1
    assert (face.message("Node")["kids"].type, face.message("Node")["kids"].repeated) == ("Node", True)
    box = face.message("Box")
    assert (box["top"].type, box["pair"].type) == ("int32", "google.protobuf.Value")
    assert (box["names"].type, box["names"].mapped) == ("DoubleRow", True)


def test_a_list_in_a_list_is_a_message_that_stands_for_the_bare_list() -> None:
    face = face_of(see)
    outer, inner = face.message("Int32RowList"), face.message("Int32Row")
    assert (outer.shape, outer["values"].type) == (Shape.LIST, "Int32Row")
    assert (inner.shape, inner["values"].type) == (Shape.LIST, "int32")


@pytest.mark.parametrize(
    ("answer", "type_", "repeated", "mapped"),
    [
        (float, "double", False, False),
        (list[Node], "Node", True, False),
        (dict[str, float], "double", False, True),
        (None, "google.protobuf.Value", False, False),
        (Any, "google.protobuf.Value", False, False),
    ],
)
def test_an_answer_that_is_no_object_is_the_field_value(answer: Any, type_: str, repeated: bool, mapped: bool) -> None:
    def f(x: int) -> Any:
        raise NotImplementedError

    f.__annotations__["return"] = answer
    response = face_of(f).message("PredictResponse")
    assert response.shape is Shape.BARE
    field = response["value"]
    assert (field.type, field.repeated, field.mapped) == (type_, repeated, mapped)


def test_the_bytes_of_a_pipeline_are_bytes() -> None:
    signature = Signature((TensorSpec("png", "BYTES", (1,)),), (TensorSpec("label", "INT64", (-1,)),))
    face = service_face("digits-ab", tensor_types(signature, "digits-ab").description(), "/v1/digits-ab")
    field = face.message("PredictRequest")["png"]
    assert (field.type, field.coding) == ("bytes", Coding.TAGGED)
    assert face.message("PredictResponse")["label"].type == "int64"
    assert face.typed
    assert face.warnings == ("the name 'digits-ab' is called 'digits_ab' in the proto",)


def test_one_that_streams_has_predict_stream() -> None:
    described = Description("", {"type": "object", "properties": {}}, {"type": "string"}, streams=True)
    face = service_face("Read.words", described, "/v1/Read:words")
    assert [method.name for method in face.methods] == ["PredictStream", "Describe"]
    assert (face.service, face.package) == ("ReadWordsService", "inferloom.models.read_words.v1")
    assert face.predict.path == "/v1/Read:words"


@pytest.mark.parametrize(
    ("least", "most", "type_"),
    [
        (0, 255, "int32"),
        (0, 2**32 - 1, "uint32"),
        (-(2**63), 2**63 - 1, "int64"),
        (0, 2**64 - 1, "uint64"),
        (None, None, "int64"),
    ],
)
def test_an_integer_is_as_large_as_it_may_be(least: int | None, most: int | None, type_: str) -> None:
    limits = {key: value for key, value in (("minimum", least), ("maximum", most)) if value is not None}
    schema = {"type": "object", "properties": {"x": {"type": "integer", **limits}}}
    face = service_face("f", Description("", schema, {}), "/v1/f")
    assert face.message("PredictRequest")["x"].type == type_
