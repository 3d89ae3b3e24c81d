from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from inferloom.mesh.errors import InvalidInput
from inferloom.mesh.oip import pb
from inferloom.services.rest.request import Wanted, header_length, read_request
from inferloom.services.rest.response import write_response
from inferloom.services.tensor import Tensor, from_request, to_response

X = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [[1.0, 2.5]]}


def read(body: Any, rest: bytes = b"", length: int | None = None) -> Any:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_request(text + rest, len(text) if rest and length is None else length, "iris", "2")


def test_json_becomes_a_message() -> None:
    body = {
        "id": "seven",
        "parameters": {"sequence_id": 5, "priority": 2, "flag": True, "temperature": 0.5, "word": "a", "big": 2**63},
        "inputs": [{**X, "parameters": {"hint": "h"}}, {"name": "t", "datatype": "BYTES", "shape": [1], "data": ["é"]}],
        "outputs": [{"name": "y", "parameters": {"classification": 3}}],
    }
    message = read(body).message

    assert (message.model_name, message.model_version, message.id) == ("iris", "2", "seven")
    tensors = from_request(message)
    assert tensors["x"].array.tolist() == [[1.0, 2.5]]
    assert tensors["t"].array.tolist() == ["é".encode()]
    told = {key: getattr(each, each.WhichOneof("parameter_choice")) for key, each in message.parameters.items()}
    assert told == body["parameters"]
    assert message.inputs[0].parameters["hint"].string_param == "h"
    assert message.outputs[0].parameters["classification"].int64_param == 3


def test_binary_data_follows_the_json_input_by_input() -> None:
    a, b = np.array([1, 2], "<i4"), np.array([0.5], "<f2")
    inputs = [
        {"name": "a", "datatype": "INT32", "shape": [2], "parameters": {"binary_data_size": 8}},
        X,
        {"name": "none", "datatype": "INT32", "shape": [0], "parameters": {"binary_data_size": 0}},
        {"name": "b", "datatype": "FP16", "shape": [1], "parameters": {"binary_data_size": 2}},
    ]
    tensors = from_request(read({"inputs": inputs}, a.tobytes() + b.tobytes()).message)

    assert tensors["a"].array.tolist() == [1, 2]
    assert tensors["x"].array.tolist() == [[1.0, 2.5]]
    assert tensors["none"].array.tolist() == []
    assert tensors["b"].array.tolist() == [0.5]


@pytest.mark.parametrize(
    ("outputs", "parameters", "in_binary"),
    [
        (None, {}, {"a": False, "b": False}),
        (None, {"binary_data_output": True}, {"a": True, "b": True}),
        ([{"name": "a", "parameters": {"binary_data": True}}, {"name": "b"}], {}, {"a": True, "b": False}),
        ([{"name": "a"}], {"binary_data_output": True}, {"a": False}),  # it is for outputs that are not named
    ],
)
def test_which_outputs_come_in_binary(outputs: Any, parameters: Any, in_binary: dict[str, bool]) -> None:
    body = {"inputs": [X], "parameters": parameters} | ({"outputs": outputs} if outputs else {})
    request = read(body)

    assert {name: request.wanted.in_binary(name) for name in in_binary} == in_binary
    assert not request.message.parameters


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "the body is no JSON: EOF while parsing"),
        (b"[]", r"the body: takes an object, got \[\]"),
        ({}, "inputs: is missing"),
        ({"inputs": {}}, r"inputs: takes a list, got \{\}"),
        ({"inputs": [5]}, r"inputs\[0\]: takes an object, got 5"),
        ({"inputs": [{}]}, r"inputs\[0\]\.name: is missing"),
        ({"inputs": [{"name": 5}]}, r"inputs\[0\]\.name: takes a string, got 5"),
        ({"inputs": [{**X, "datatype": None}]}, r"inputs\[0\] 'x'\.datatype: is missing"),
        ({"inputs": [{**X, "shape": "1,2"}]}, r"inputs\[0\] 'x'\.shape: takes a list, got '1,2'"),
        ({"inputs": [{**X, "shape": [1, -1]}]}, r"\.shape\[1\]: takes a size of 0 or more, got -1"),
        ({"inputs": [{**X, "shape": [True, 2]}]}, r"\.shape\[0\]: takes a size of 0 or more, got True"),
        ({"inputs": [{**X, "shape": [2**40, 2**40]}]}, r"\.shape: .* has too many elements"),
        ({"inputs": [{k: v for k, v in X.items() if k != "data"}]}, r"'x'\.data: is missing, and so is the parameter"),
        ({"inputs": [X], "id": 7}, r"the body\.id: takes a string, got 7"),
        ({"inputs": [X], "parameters": []}, r"parameters: takes an object, got \[\]"),
        ({"inputs": [X], "parameters": {"a": [1]}}, r"parameters\.a: takes true or false, a number or a string"),
        ({"inputs": [X], "parameters": {"a": 2**64}}, r"parameters\.a: takes true or false, a number or a string"),
        ({"inputs": [X], "parameters": {"triton_x": 1}}, r"parameters\.triton_x: keys that begin with 'triton_'"),
        ({"inputs": [X], "parameters": {"binary_data_output": 1}}, r"binary_data_output: takes true or false, got 1"),
        ({"inputs": [X], "outputs": [{}]}, r"outputs\[0\]\.name: is missing"),
        ({"inputs": [X], "outputs": [{"name": "y", "parameters": {"binary_data": "no"}}]}, "takes true or false"),
        (
            {"inputs": [{**X, "parameters": {"shared_memory_region": "r"}}]},
            r"shared_memory_region: no memory is shared through the mesh; send the data itself",
        ),
        ({"inputs": [{**X, "parameters": {"binary_data_size": -1}}]}, "binary_data_size: takes a number of bytes"),
        ({"inputs": [{**X, "parameters": {"binary_data_size": 4}}]}, "4 bytes of binary data are announced, and 0 are"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(body: Any, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        read(body)


def test_lengths_that_do_not_add_up_are_told() -> None:
    with pytest.raises(InvalidInput, match="4 bytes of binary data are left over"):
        read({"inputs": [X]}, b"1234")
    with pytest.raises(InvalidInput, match="says 5000 bytes, and the body has"):
        read({"inputs": [X]}, length=5000)
    with pytest.raises(InvalidInput, match="takes a number of bytes, got '-1'"):
        header_length("-1")
    assert (header_length(None), header_length("12")) == (None, 12)


def test_answers_are_json_and_binary_data_in_the_order_of_the_outputs() -> None:
    response = to_response(
        [
            ("a", Tensor("INT32", (2,), np.array([1, 2], "<i4").tobytes())),
            ("b", Tensor("FP16", (1,), b"\x00\x38")),
            ("c", Tensor("BOOL", (1,), b"\x01")),
        ],
        "iris",
        "2",
        "seven",
    )
    response.parameters["took"].int64_param = 5
    body = write_response(response, Wanted(frozenset({"b"}), named=True))

    assert body.content_type == "application/octet-stream"
    assert body.data[body.header_length :] == b"\x00\x38"
    assert json.loads(body.data[: body.header_length]) == {
        "id": "seven",
        "model_name": "iris",
        "model_version": "2",
        "parameters": {"took": 5},
        "outputs": [
            {"name": "a", "datatype": "INT32", "shape": [2], "data": [1, 2]},
            {"name": "b", "datatype": "FP16", "shape": [1], "parameters": {"binary_data_size": 2}},
            {"name": "c", "datatype": "BOOL", "shape": [1], "data": [True]},
        ],
    }


def test_an_answer_without_binary_data_is_plain_json() -> None:
    body = write_response(pb.ModelInferResponse(model_name="iris"), Wanted(others=True))

    assert (body.content_type, body.header_length) == ("application/json", None)
    assert json.loads(body.data) == {"model_name": "iris", "model_version": "", "outputs": []}
