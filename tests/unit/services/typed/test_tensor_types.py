"""JSON of what has tensors only."""

from __future__ import annotations

import json

import numpy as np
import pytest

from inferloom.clients.metadata import TensorSpec
from inferloom.mesh.errors import InvalidInput
from inferloom.services.signature import Signature
from inferloom.services.tensor import Tensor
from inferloom.services.typed import tensor_types

SIGNATURE = Signature(
    (TensorSpec("pixels", "FP32", (-1, 2)), TensorSpec("name", "BYTES", (1,)), TensorSpec("k", "UINT8", (1,), True)),
    (TensorSpec("label", "INT64", (-1,)), TensorSpec("sure", "FP64", (1,)), TensorSpec("raw", "BYTES", (-1,))),
)
TYPES = tensor_types(SIGNATURE, "Digits")


def test_nested_lists_become_tensors_and_a_scalar_one_of_shape_1() -> None:
    found = TYPES.arguments_json(b'{"pixels": [[1, 2.5], [3, "NaN"]], "name": {"base64": "/w=="}, "k": 255}')
    assert found["pixels"].shape == (2, 2)
    assert found["pixels"].datatype == "FP32"
    assert np.isnan(found["pixels"].array[1, 1])
    assert found["name"].array.tolist() == [b"\xff"]
    assert found["k"].array.tolist() == [255]


def test_outputs_are_lists_text_where_utf8_else_base64_and_one_value_for_shape_1() -> None:
    answer = {
        "label": Tensor.of(np.array([3, 4])),
        "sure": Tensor.of(np.array([np.inf])),
        "raw": Tensor.of(np.array(["é".encode(), b"\xff"], dtype=object)),
    }
    assert json.loads(TYPES.result_json(answer)) == {
        "label": [3, 4],
        "sure": "Infinity",
        "raw": ["é", {"base64": "/w=="}],
    }
    assert TYPES.value_of(dict(TYPES.result(answer))) == answer


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "the body is no JSON: EOF while parsing an object at line 1 column 1"),
        (b"3", "the body: takes an object; Digits takes pixels FP32 [-1,2], name BYTES [1], k UINT8 [1] (optional)"),
        (
            b'{"pixels": [[1]], "k": 256}',
            "pixels[0]: takes 2 elements, got 1; name: is missing; k[0]: takes a whole number",
        ),
        (b'{"pixels": 1, "name": 5}', "pixels: takes a list of 2 dimensions, got 1; name[0]: takes text, or"),
        (b'{"pixels": [], "name": {"base64": "*"}}', "name[0].base64: is no base64"),
        (
            b'{"pixels": [], "name": "a", "pixel": 1}',
            "pixel: is not known (did you mean 'pixels'?); Digits takes pixels",
        ),
    ],
)
def test_what_does_not_fit_is_told_with_its_path(body: bytes, message: str) -> None:
    with pytest.raises(InvalidInput) as error:
        TYPES.arguments_json(body)
    assert str(error.value).startswith(message)


def test_wrong_tensors_are_named() -> None:
    name = Tensor.of(np.array([b"a"], dtype=object))
    with pytest.raises(InvalidInput, match=r"^input 'pixels' is missing; Digits takes"):
        TYPES.arguments({"name": name})
    with pytest.raises(InvalidInput, match=r"^input 'pixels' of Digits takes FP32 \[-1,2\], got FP64 \[1,2\]$"):
        TYPES.arguments({"name": name, "pixels": Tensor.of(np.zeros((1, 2)))})
    with pytest.raises(InvalidInput, match=r"^no input 'nam' \(did you mean 'name'\?\)"):
        TYPES.tensors_of({"name": name, "pixels": Tensor.of(np.zeros((1, 2), np.float32)), "nam": name})


def test_the_description_tells_sizes_and_ranges() -> None:
    described = TYPES.description()
    rows = described.request["properties"]["pixels"]
    assert (rows["type"], rows["items"]["minItems"], rows["items"]["maxItems"]) == ("array", 2, 2)
    assert described.request["required"] == ["pixels", "name"]
    assert described.request["properties"]["k"] == {"type": "integer", "minimum": 0, "maximum": 255}
    assert described.response["required"] == ["label", "sure", "raw"]
