from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from inferloom.mesh.errors import InvalidInput
from inferloom.mesh.oip import pb
from inferloom.services.rest.raw import read_raw
from inferloom.services.tensor import from_request


def told(datatype: str, shape: list[int]) -> Any:
    metadata = pb.ModelMetadataResponse(name="m")
    metadata.inputs.add(name="x", datatype=datatype, shape=shape)
    return metadata


@pytest.mark.parametrize(
    ("shape", "count", "becomes"), [([-1], 3, [3]), ([-1, 2], 4, [2, 2]), ([-1, -1], 3, [1, 3]), ([2, 2], 4, [2, 2])]
)
def test_the_shape_follows_from_the_bodys_length(shape: list[int], count: int, becomes: list[int]) -> None:
    values = np.arange(count, dtype="<i4")
    request = read_raw(values.tobytes(), told("INT32", shape), "m", "")

    assert from_request(request.message)["x"].array.tolist() == values.reshape(becomes).tolist()
    assert request.wanted.in_binary("y")


def test_text_is_one_element() -> None:
    request = read_raw(b"hello", told("BYTES", [-1, 1]), "m", "2")

    assert from_request(request.message)["x"].array.tolist() == [[b"hello"]]
    assert request.message.model_version == "2"


@pytest.mark.parametrize(
    ("shape", "size", "said"),
    [
        ([2], 7, "7 bytes are no whole number of elements of 'x', INT32"),
        ([2], 12, r"3 elements do not fill 'x' of shape \[2\]; send JSON that tells the shape"),
        ([-1, 2], 12, "3 elements do not fill 'x'"),
        ([-1, -1, -1], 12, "3 elements do not fill 'x'"),
        ([0], 12, "3 elements do not fill 'x'"),
    ],
)
def test_what_does_not_fill_the_input_is_told(shape: list[int], size: int, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        read_raw(b"\0" * size, told("INT32", shape), "m", "")


def test_a_model_with_several_inputs_takes_json_only() -> None:
    metadata = told("INT32", [1])
    metadata.inputs.add(name="z", datatype="INT32", shape=[1])

    with pytest.raises(InvalidInput, match="without JSON there is one input, and 'm' has 2"):
        read_raw(b"1234", metadata, "m", "")
