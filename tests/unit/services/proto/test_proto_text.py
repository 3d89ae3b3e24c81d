"""The text and the descriptor say the same: protoc is asked."""

from __future__ import annotations

import pytest
from google.protobuf import descriptor_pool
from hypothesis import given, settings

from inferloom.clients.metadata import ModelMetadata, TensorSpec
from inferloom.services.answerer import Description
from inferloom.services.proto.descriptor import file_descriptor, file_descriptor_set
from inferloom.services.proto.face import Face
from inferloom.services.proto.hints import ColumnHint, Hints, TensorHint
from inferloom.services.proto.lock import numbered
from inferloom.services.proto.model import model_face
from inferloom.services.proto.schema import service_face
from inferloom.services.proto.text import proto_text
from tests.unit.services.proto.proto_strategies import REQUESTS, RESPONSES, compiled, models

IRIS = ModelMetadata(
    "iris",
    ("1",),
    "onnxruntime_onnx",
    (TensorSpec("X", "FP32", (-1, 4)),),
    (TensorSpec("label", "INT64", (-1,)), TensorSpec("probabilities", "FP32", (-1, 3))),
    1024,
)
HINTS = Hints(
    "Which iris a flower is.",
    inputs={
        "X": TensorHint(
            columns=(
                ColumnHint("sepal_length", unit="cm", least=0, most=30),
                ColumnHint("sepal_width"),
                ColumnHint("petal_length", "From the stem"),
                ColumnHint("petal_width"),
            )
        )
    },
    outputs={"label": TensorHint(labels=("setosa", "versicolor", "virginica"))},
)
TEXT = """\
// The face of iris in the mesh. Written by `inferloom codegen`.
// Which iris a flower is.

syntax = "proto3";

package inferloom.models.iris.v1;

import "google/api/annotations.proto";

service IrisService {
  // Calls the model.
  rpc Predict(PredictRequest) returns (PredictResponse) {
    option (google.api.http) = {
      post: "/v1/iris"
      body: "*"
    };
  }

  // What it is, and which versions there are.
  rpc Describe(DescribeRequest) returns (DescribeResponse) {
    option (google.api.http) = {
      get: "/v1/iris"
    };
  }
}

message PredictRequest {
  // At least one, at most 1024.
  repeated InputRow rows = 1;
}

message PredictResponse {
  // One for each row of the request, in its order.
  repeated OutputRow rows = 1;
}

// A value that is missing is known as such and refused, unless its comment says that it may be
// absent.
message InputRow {
  // FP32, column 0 of X, in cm, from 0 to 30.
  optional float sepal_length = 1;
  // FP32, column 1 of X.
  optional float sepal_width = 2;
  // From the stem.
  // FP32, column 2 of X.
  optional float petal_length = 3;
  // FP32, column 3 of X.
  optional float petal_width = 4;
}

// The answer for one row.
message OutputRow {
  // INT64, the tensor label.
  // One of: setosa, versicolor, virginica.
  string label = 1;
  // FP32 [3], the tensor probabilities.
  repeated float probabilities = 2;
}
"""


def the_same(face: Face) -> None:
    for http in (True, False):
        made = file_descriptor(face, http=http)
        assert compiled(face.file, proto_text(face, http=http)) == made
    pool = descriptor_pool.DescriptorPool()
    for file in file_descriptor_set(face).file:
        pool.Add(file)
    assert set(pool.FindServiceByName(face.full_service).methods_by_name) == {each.name for each in face.methods}


def test_the_proto_of_a_model_with_hints_reads_like_this() -> None:
    face, _ = numbered(model_face(IRIS, HINTS))
    assert proto_text(face).startswith(TEXT)
    assert face.file == "inferloom/models/iris/v1/iris.proto"


@settings(max_examples=60, deadline=None)
@given(models())
def test_protoc_makes_the_descriptor_of_any_model_out_of_its_text(model: tuple[ModelMetadata, Hints]) -> None:
    face, lock = numbered(model_face(*model))
    the_same(face)
    again, same = numbered(model_face(*model), lock)
    assert (again, same) == (face, lock)


@settings(max_examples=60, deadline=None)
@given(REQUESTS, RESPONSES)
def test_protoc_makes_the_descriptor_of_any_service_out_of_its_text(request: dict, response: dict) -> None:  # type: ignore[type-arg]
    described = Description("What it\ndoes.", request, response, streams=bool(response.get("type") == "array"))
    the_same(numbered(service_face("Read.explain", described, "/v1/Read:explain"))[0])


def test_reserved_numbers_and_enums_are_the_same_in_both() -> None:
    labels = Hints(outputs={"label": TensorHint(labels=("no", "yes"), enum=True)})
    fewer = Hints(outputs={"label": TensorHint(labels=("yes",), enum=True)})
    _, lock = numbered(model_face(IRIS, labels))
    without = ModelMetadata("iris", ("1",), "", IRIS.inputs, IRIS.outputs[:1], 1024)
    face, _ = numbered(model_face(without, fewer), lock)
    text = proto_text(face)
    assert 'reserved 2;\n  reserved "probabilities";' in text
    assert 'reserved 1;\n  reserved "LABEL_NO";\n  LABEL_UNSPECIFIED = 0;\n  LABEL_YES = 2; // yes' in text
    the_same(face)


@pytest.mark.parametrize("text", ["a\nservice X {}", "*/ }", 'a"b', "\x1b[31m"])
def test_a_description_cannot_leave_its_comment(text: str) -> None:
    face, _ = numbered(model_face(IRIS, Hints(text, outputs={"label": TensorHint(description=text)})))
    assert "\x1b" not in proto_text(face)
    the_same(face)
