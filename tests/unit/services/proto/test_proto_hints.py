from __future__ import annotations

import json

import pytest

from inferloom.mesh.errors import InvalidInput
from inferloom.services.proto.hints import ColumnHint, Hints, TensorHint

FULL = Hints(
    "What it is.",
    True,
    {"X": TensorHint("sizes", "All", "cm", 0, None, True, (ColumnHint("a", most=1.5), ColumnHint("b")))},
    {"label": TensorHint(labels=("no", "yes"), enum=True), "png": TensorHint(type="bytes")},
    {"rows": [{"a": 1, "b": 2}]},
)


def test_hints_survive_their_document() -> None:
    assert Hints.from_json(json.loads(json.dumps(FULL.to_json()))) == FULL


def test_what_is_not_said_is_not_written() -> None:
    assert Hints().to_json() == {}
    assert FULL.to_json()["outputs"] == {"label": {"labels": ["no", "yes"], "enum": True}, "png": {"type": "bytes"}}
    assert FULL.to_json()["inputs"]["X"]["columns"] == [{"name": "a", "range": [None, 1.5]}, {"name": "b"}]


@pytest.mark.parametrize(
    "value", [{"inputs": []}, {"color": 1}, {"inputs": {"x": {"range": [1]}}}, {"inputs": {"x": {"y": 1}}}]
)
def test_what_is_none_is_refused(value: dict[str, object]) -> None:
    with pytest.raises(InvalidInput, match="hints cannot be read"):
        Hints.from_json(value)
