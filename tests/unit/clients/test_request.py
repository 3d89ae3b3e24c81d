"""The message made by hand is the one protobuf makes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferloom.clients.fit import Fitted
from inferloom.clients.request import build, unfitted
from inferloom.mesh.errors import InvalidInput
from inferloom.mesh.oip import pb


@given(sizes=st.lists(st.sampled_from([0, 1, 31, 32, 127, 4096, 70_000]), max_size=3))
def test_protobuf_reads_what_was_joined(sizes: list[int]) -> None:
    arrays = [np.arange(size, dtype=np.float32) for size in sizes]
    inputs = [Fitted(f"x{i}", "FP32", array) for i, array in enumerate(arrays)]
    data = build("m", "2", inputs, request_id="7", outputs=["y"], parameters={"priority": 1})
    message = pb.ModelInferRequest.FromString(data)
    assert (message.model_name, message.model_version, message.id) == ("m", "2", "7")
    assert [(t.name, t.datatype, list(t.shape)) for t in message.inputs] == [
        (f"x{i}", "FP32", [size]) for i, size in enumerate(sizes)
    ]
    assert list(message.raw_input_contents) == [array.tobytes() for array in arrays]
    assert [output.name for output in message.outputs] == ["y"]
    expected = pb.ModelInferRequest()
    expected.CopyFrom(message)
    assert expected.SerializeToString(deterministic=True) == data


@pytest.mark.parametrize(
    ("value", "field"),
    [
        (True, "bool_param"),
        (3, "int64_param"),
        (2**63, "uint64_param"),
        (1.5, "double_param"),
        ("s", "string_param"),
        (np.int32(4), "int64_param"),
    ],
)
def test_a_parameter_goes_into_the_field_of_its_type(value: Any, field: str) -> None:
    message = pb.ModelInferRequest.FromString(build("m", "", [], parameters={"p": value}))
    assert message.parameters["p"].WhichOneof("parameter_choice") == field
    assert getattr(message.parameters["p"], field) == value


@pytest.mark.parametrize("value", [None, [1], 2**64, -(2**63) - 1])
def test_a_parameter_of_another_type_is_refused(value: Any) -> None:
    with pytest.raises(InvalidInput, match="parameter 'p' is a"):
        build("m", "", [], parameters={"p": value})


def test_without_metadata_the_arrays_own_dtypes_are_sent() -> None:
    found = unfitted({"a": [1, 2], "b": "x", "c": np.zeros(1, np.float16)}, "m")
    assert [(f.name, f.datatype) for f in found] == [("a", "INT64"), ("b", "BYTES"), ("c", "FP16")]


def test_without_metadata_inputs_must_be_named() -> None:
    with pytest.raises(InvalidInput, match="m tells no metadata, so its inputs must be named"):
        unfitted([1], "m")
