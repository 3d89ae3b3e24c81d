"""The messages of Describe, the same in every proto."""

from __future__ import annotations

from inferloom.services.proto.face import Field, Message, Method

__all__ = ["DESCRIBED", "describe_method", "description_messages"]

DESCRIBED = ("DescribeRequest", "DescribeResponse", "TensorDescription")

_TENSOR = Message(
    "TensorDescription",
    (
        Field("name", 1, "string", comment=("As the model calls it.",)),
        Field("datatype", 2, "string", comment=("Of the Open Inference Protocol: FP32, INT64, BYTES, ...",)),
        Field("shape", 3, "int64", repeated=True, comment=("-1 may be any; the batch dimension comes first.",)),
        Field("optional", 4, "bool"),
        Field("fields", 5, "string", repeated=True, comment=("The fields here that hold it.",)),
        Field("labels", 6, "string", repeated=True, comment=("Texts of 0, 1, 2, ...",)),
    ),
    ("A tensor of the model.",),
)


def describe_method(path: str) -> Method:
    return Method("Describe", *DESCRIBED[:2], "get", path, comment=("What it is, and which versions there are.",))


def description_messages(*, typed: bool) -> tuple[Message, ...]:
    """Of a service or pipeline (`typed`), or of a model."""
    common = (
        Field("name", 1, "string"),
        Field("versions", 2, "string", repeated=True, comment=("Oldest first.",)),
        Field("description", 3, "string"),
    )
    if typed:
        own: tuple[Field, ...] = (
            Field("request_schema", 4, "string", comment=("JSON Schema of what it takes.",)),
            Field("response_schema", 5, "string", comment=("JSON Schema of what it gives.",)),
        )
    else:
        own = (
            Field("platform", 4, "string"),
            Field("max_rows", 5, "int32", comment=("Of one request; 0: as many as fit.",)),
            Field("inputs", 6, _TENSOR.name, repeated=True),
            Field("outputs", 7, _TENSOR.name, repeated=True),
        )
    request = Message(DESCRIBED[0], ())
    response = Message(DESCRIBED[1], (*common, *own))
    return (request, response) if typed else (request, response, _TENSOR)
