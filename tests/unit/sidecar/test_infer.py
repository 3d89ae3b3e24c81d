"""First requests, as bytes."""

from __future__ import annotations

import struct

import pytest

from inferloom.mesh.oip import pb
from inferloom.sidecar.infer import answer_values, decode, encode, from_warmup, synthesise
from inferloom.sidecar.modelfile.warmup import Warmup, WarmupInput


def metadata(*inputs: tuple[str, str, tuple[int, ...]]) -> pb.ModelMetadataResponse:
    message = pb.ModelMetadataResponse(name="m")
    for name, datatype, shape in inputs:
        message.inputs.add(name=name, datatype=datatype, shape=shape)
    return message


def test_a_dimension_of_any_size_is_one_and_values_are_zero() -> None:
    request = synthesise(metadata(("x", "FP32", (-1, 4)), ("n", "INT64", (-1,)), ("s", "BYTES", (-1, 2))), "3")
    assert request is not None
    assert (request.model_name, request.model_version) == ("m", "3")
    assert [tuple(tensor.shape) for tensor in request.inputs] == [(1, 4), (1,), (1, 2)]
    assert list(request.raw_input_contents) == [bytes(16), bytes(8), bytes(8)]


def test_no_request_is_made_for_an_unknown_type_or_a_huge_tensor() -> None:
    assert synthesise(metadata(("x", "COMPLEX", (1,))), "1") is None
    assert synthesise(metadata(("x", "FP64", (1, 10_000_000))), "1") is None


@pytest.mark.parametrize(
    ("datatype", "data", "back"),
    [
        ("FP32", (1.5, -2), (1.5, -2.0)),
        ("FP16", (0.5,), (0.5,)),
        ("FP64", (0.1,), (0.1,)),
        ("INT8", (-1, 127), (-1, 127)),
        ("UINT64", (2**64 - 1,), (2**64 - 1,)),
        ("BOOL", (True, False), (True, False)),
        ("BYTES", ("ä", ""), ["ä".encode(), b""]),
    ],
)
def test_values_survive_the_way(datatype: str, data: tuple[object, ...], back: object) -> None:
    assert decode(datatype, encode(datatype, data)) == back


def test_a_value_that_does_not_fit_names_the_input() -> None:
    warmup = Warmup((WarmupInput("x", "INT8", (1,), (300,)),))
    with pytest.raises(ValueError, match="input 'x' cannot be sent as INT8"):
        from_warmup(warmup, "m", "1")


def test_an_answer_is_read_by_name() -> None:
    response = pb.ModelInferResponse()
    response.outputs.add(name="y", datatype="FP32", shape=[2])
    response.outputs.add(name="odd", datatype="COMPLEX", shape=[1])
    response.raw_output_contents.extend([struct.pack("<2f", 1, 2), b"?"])
    assert answer_values(response) == {"y": (1.0, 2.0)}
