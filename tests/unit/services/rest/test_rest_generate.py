from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from inferloom.mesh.errors import InvalidInput
from inferloom.mesh.oip import pb
from inferloom.services.rest.generate import generate_request, generate_response
from inferloom.services.tensor import Tensor, from_request, to_response


def told(**inputs: tuple[str, list[int]]) -> Any:
    metadata = pb.ModelMetadataResponse(name="m")
    for name, (datatype, shape) in inputs.items():
        metadata.inputs.add(name=name, datatype=datatype, shape=shape)
    return metadata


def read(body: Any, metadata: Any) -> Any:
    return generate_request(json.dumps(body).encode(), metadata, "m", "")


@pytest.mark.parametrize(
    ("shape", "value", "becomes"),
    [
        ([1], 5, [1]),
        ([-1], [1, 2, 3], [3]),
        ([-1, -1], [1, 2, 3], [1, 3]),
        ([-1, 2], [1, 2, 3, 4], [2, 2]),
        ([2, -1], [1, 2, 3, 4], [2, 2]),
        ([], 5, []),
        ([-1], [], [0]),
    ],
)
def test_a_shape_is_made_from_the_inputs(shape: list[int], value: Any, becomes: list[int]) -> None:
    message = read({"x": value}, told(x=("INT32", shape)))

    tensor = from_request(message)["x"]
    assert list(tensor.shape) == becomes
    assert tensor.array.ravel().tolist() == (value if isinstance(value, list) else [value])


def test_members_that_are_no_inputs_are_parameters() -> None:
    body = {"id": "a", "text": "hello", "temperature": 0.5, "parameters": {"top_k": 3, "size": 2}}
    message = read(body, told(text=("BYTES", [1]), size=("INT64", [1])))

    assert message.id == "a"
    assert [tensor.name for tensor in message.inputs] == ["text", "size"]
    assert message.parameters["temperature"].double_param == 0.5
    assert message.parameters["top_k"].int64_param == 3


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"x": [1, 2, 3]}, r"'x': 3 values do not fill a tensor of shape \[2\]; use .../infer"),
        ({"x": "a"}, r"'x'\.data: 1 elements|'x': 1 values"),
        ({"x": [1, "a"]}, r"'x'\.data\[1\]: takes INT32, got 'a'"),
        ({"x": [1, 2], "y": {"a": 1}}, r"parameters\.y: takes true or false, a number or a string"),
        ({"id": 5}, r"the body\.id: takes a string"),
        ({"parameters": 5}, r"parameters: takes an object, got 5"),
    ],
)
def test_what_does_not_fit_is_told(body: Any, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        read(body, told(x=("INT32", [2])))


def test_an_answer_has_a_member_per_output() -> None:
    response = to_response(
        [
            ("text", Tensor.of(np.array([b"hello"], object))),
            ("scores", Tensor.of(np.array([[0.5, 1.5]], np.float32))),
        ],
        "m",
        "1",
        "a",
    )
    response.parameters["took"].int64_param = 3
    response.parameters["triton_final_response"].bool_param = True

    assert generate_response(response) == {
        "id": "a",
        "model_name": "m",
        "model_version": "1",
        "took": 3,
        "text": "hello",
        "scores": [0.5, 1.5],
    }
