from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferloom.mesh.catalog import Replica, State
from inferloom.mesh.registry.record import RecordError, decode, encode, to_fields

REPLICA = Replica("iris", "a", "::1", 9000, State.DRAINING, ("1", "2"), 8000, 0.5, "eu/a", 7, True, "h:1", "none")

replicas = st.builds(
    Replica,
    model=st.text(max_size=10),
    id=st.text(max_size=10),
    host=st.text(max_size=10),
    port=st.integers(0, 65535),
    state=st.sampled_from(State),
    versions=st.lists(st.text(max_size=3), max_size=3).map(tuple),
    weight=st.floats(1e-6, 1e6),
    generation=st.integers(0, 2**60),
    problem=st.text(max_size=20),
)


@given(replicas)
def test_what_was_encoded_is_decoded(replica: Replica) -> None:
    assert decode(encode(replica)) == replica


def test_the_verdict_of_the_registry_is_not_part_of_a_record() -> None:
    assert "healthy" not in to_fields(REPLICA)
    assert decode(encode(REPLICA) + b" ").healthy


def test_unknown_fields_of_a_newer_writer_are_ignored_and_missing_ones_take_their_defaults() -> None:
    record = {"model": "iris", "id": "a", "host": "h", "port": 1, "colour": "red", "healthy": False}
    assert decode(json.dumps(record).encode()) == Replica("iris", "a", "h", 1)


def test_a_whole_number_is_a_weight() -> None:
    weight = decode(b'{"model":"m","id":"a","host":"h","port":1,"weight":2}').weight
    assert (weight, type(weight)) == (2.0, float)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xff", "no JSON"),
        (b"[]", "not list"),
        (b'{"model":"m"}', "no id, host, port"),
        (b'{"model":"m","id":"a","host":"h","port":"1"}', "port is '1'"),
        (b'{"model":"m","id":"a","host":"h","port":true}', "port is True"),
        (b'{"model":"m","id":"a","host":"h","port":1,"state":"quantum"}', "state is 'quantum'"),
        (b'{"model":"m","id":"a","host":"h","port":1,"versions":[1]}', "versions are"),
        (b'{"model":"m","id":"a","host":"h","port":1,"weight":0}', "weight is 0"),
        (b'{"model":"m","id":"a","host":"h","port":1,"weight":NaN}', "weight is nan"),
    ],
)
def test_what_cannot_be_a_replica_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(RecordError, match=reason):
        decode(data)
