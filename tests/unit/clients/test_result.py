"""An answer's tensors, by name and as attributes."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from inferloom.clients.result import InferResult
from inferloom.mesh.errors import ReplicaError
from inferloom.mesh.oip import pb


def response() -> pb.ModelInferResponse:
    message = pb.ModelInferResponse(model_name="m", model_version="3", id="7")
    message.parameters["triton_final_response"].bool_param = False
    message.parameters["score"].double_param = 0.5
    for name, datatype, shape, raw in (
        ("label", "INT64", [2], np.array([4, 2]).tobytes()),
        ("words", "BYTES", [1, 1], b"\x03\0\0\0\xc3\xa9!"),
    ):
        message.outputs.add(name=name, datatype=datatype, shape=shape)
        message.raw_output_contents.append(raw)
    return message


def test_tensors_are_items_and_attributes() -> None:
    out = InferResult(response(), (("x-served-by", "r1"),))
    assert out["label"].tolist() == out.label.tolist() == [4, 2]
    assert out.words.tolist() == [["é!".encode()]]
    assert out.text("words").tolist() == [["é!"]]
    assert list(out) == ["label", "words"]
    assert (out.model, out.version, out.id) == ("m", "3", "7")
    assert out.parameters == {"triton_final_response": False, "score": 0.5}
    assert not out.final
    assert dict(out.metadata) == {"x-served-by": "r1"}
    assert out.datatypes == {"label": "INT64", "words": "BYTES"}
    assert "label" in dir(out)


def test_its_repr_shows_datatypes_and_shapes() -> None:
    assert repr(InferResult(response())) == "<InferResult m:3 label INT64 [2], words BYTES [1, 1]>"


def test_a_tensor_that_is_not_there_is_explained() -> None:
    out = InferResult(response())
    with pytest.raises(AttributeError, match="the answer of m has no 'lable'; it has label, words"):
        _ = out.lable
    with pytest.raises(KeyError):
        _ = out["lable"]


def test_it_can_be_copied() -> None:
    assert copy.copy(InferResult(response())).label.tolist() == [4, 2]


def test_a_failed_message_raises_its_error_where_a_tensor_is_asked_for() -> None:
    from grpc import StatusCode

    out = InferResult(pb.ModelInferResponse(id="4"), error=ReplicaError(StatusCode.UNKNOWN, "no"))
    assert (out.id, str(out.error)) == ("4", "no")
    with pytest.raises(ReplicaError, match="no"):
        _ = out.label


def test_an_answer_whose_bytes_contradict_its_shape_is_the_replicas_error() -> None:
    message = response()
    message.outputs[0].shape[0] = 3
    with pytest.raises(ReplicaError, match="the answer of m cannot be read: tensor 'label' came with 16 bytes"):
        InferResult(message)


def test_an_answer_with_too_few_contents_is_the_replicas_error() -> None:
    message = response()
    del message.raw_output_contents[1]
    with pytest.raises(ReplicaError, match="2 outputs came with 1 contents"):
        InferResult(message)
