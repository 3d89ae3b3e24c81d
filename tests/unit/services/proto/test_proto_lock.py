from __future__ import annotations

from dataclasses import replace

import pytest

from inferloom.clients.metadata import ModelMetadata, TensorSpec
from inferloom.mesh.errors import InvalidInput
from inferloom.services.proto.face import Face
from inferloom.services.proto.hints import ColumnHint, Hints, TensorHint
from inferloom.services.proto.lock import Incompatible, Lock, at_major, numbered
from inferloom.services.proto.model import model_face

A, B, C = (TensorSpec(name, "FP32", (1,)) for name in "abc")


def face_of(*inputs: TensorSpec, most: int = 0) -> Face:
    return model_face(ModelMetadata("m", ("1",), "", inputs, (), most))


def numbers(face: Face) -> dict[str, int]:
    return {field.name: field.number for field in face.message("PredictRequest").fields}


def test_a_new_field_gets_a_new_number_wherever_it_stands() -> None:
    _, lock = numbered(face_of(A, B))
    face, new = numbered(face_of(C, A, B), lock)
    assert numbers(face) == {"c": 3, "a": 1, "b": 2}
    assert (lock.revision, new.revision) == (1, 2)


def test_a_field_that_is_gone_stays_reserved_and_comes_back_as_it_was() -> None:
    _, lock = numbered(face_of(A, B))
    face, lock = numbered(face_of(B), lock)
    assert face.message("PredictRequest").reserved.numbers == (1,)
    assert face.message("PredictRequest").reserved.names == ("a",)
    face, lock = numbered(face_of(B, C), lock)
    assert numbers(face) == {"b": 2, "c": 3}
    face, lock = numbered(face_of(A, B, C), lock)
    assert numbers(face) == {"a": 1, "b": 2, "c": 3}
    assert face.message("PredictRequest").reserved.numbers == ()


def test_nothing_new_is_no_new_revision() -> None:
    face, lock = numbered(face_of(A, B))
    assert numbered(face_of(A, B), lock) == (face, lock)


def test_another_type_is_refused_with_the_way_out() -> None:
    _, lock = numbered(face_of(A))
    with pytest.raises(
        Incompatible, match=r"'m': PredictRequest.a was optional float and is now optional int64, .*--major 2"
    ):
        numbered(face_of(replace(A, datatype="INT64")), lock)


def test_a_batch_dimension_that_comes_or_goes_is_refused() -> None:
    _, lock = numbered(face_of(A))
    with pytest.raises(Incompatible, match=r"it has a batch dimension now"):
        numbered(face_of(replace(A, shape=(-1, 1)), most=8), lock)
    _, lock = numbered(face_of(replace(A, shape=(-1, 1)), most=8))
    with pytest.raises(Incompatible, match=r"it has no batch dimension any more"):
        numbered(face_of(A), lock)


def test_a_tensor_called_rows_is_no_batch_dimension() -> None:
    face, lock = numbered(face_of(replace(A, name="rows")))
    assert numbered(face_of(replace(A, name="rows")), lock) == (face, lock)


def test_a_method_that_is_gone_is_refused() -> None:
    _, lock = numbered(face_of(A))
    streams = model_face(ModelMetadata("m", ("1",), "", (A,), (), 0, True))
    with pytest.raises(Incompatible, match=r"Predict is gone: it now has PredictStream and Describe"):
        numbered(streams, lock)


def test_another_major_version_begins_anew() -> None:
    _, lock = numbered(face_of(A))
    changed = face_of(replace(A, datatype="INT64"))
    face, new = numbered(at_major(changed, 2), lock)
    assert face.package == "inferloom.models.m.v2"
    assert (new.major, new.revision) == (2, 1)
    assert numbered(changed, lock, bump=True) == (face, new)


def test_numbers_that_protobuf_keeps_for_itself_are_not_given() -> None:
    columns = tuple(ColumnHint(f"c{number}") for number in range(19_001))
    spec = TensorSpec("x", "FP32", (19_001,))
    face, _ = numbered(
        model_face(ModelMetadata("m", ("1",), "", (spec,), (), 0), Hints(inputs={"x": TensorHint(columns=columns)}))
    )
    given = [field.number for field in face.message("PredictRequest").fields]
    assert given[18_998:] == [18_999, 20_000, 20_001]


def test_a_lock_survives_its_file() -> None:
    hints = Hints(inputs={"a": TensorHint(labels=("x", "y"), enum=True)})
    spec = replace(A, datatype="INT32")
    _, lock = numbered(model_face(ModelMetadata("m", ("1",), "", (spec, B), (), 0), hints))
    _, lock = numbered(model_face(ModelMetadata("m", ("1",), "", (spec,), (), 0), hints), lock)
    assert Lock.from_json(lock.to_json(), "m.lock.json") == lock


@pytest.mark.parametrize("value", [{}, {"format": 2}, {"format": 1, "name": "m"}, {"format": 1, "scopes": []}])
def test_what_is_no_lock_is_named(value: dict[str, object]) -> None:
    with pytest.raises(InvalidInput, match=r"^m\.lock\.json "):
        Lock.from_json(value, "m.lock.json")
