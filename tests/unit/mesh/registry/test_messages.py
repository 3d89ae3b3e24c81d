from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from inferloom.mesh.catalog import Model, Replica, State
from inferloom.mesh.registry.base import Document
from inferloom.mesh.registry.messages import document_from, document_to, model_from, model_to, replica_from, replica_to
from inferloom.v1 import mesh_pb2 as pb

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
replicas = st.builds(
    Replica,
    model=text,
    id=text,
    host=text,
    port=st.integers(0, 65535),
    state=st.sampled_from(list(State)),
    versions=st.lists(text, max_size=3).map(tuple),
    http_port=st.integers(0, 65535),
    app_port=st.integers(0, 65535),
    weight=st.floats(0.001, 100),
    locality=text,
    generation=st.integers(0, 2**62),
    healthy=st.booleans(),
    check=text,
    problem=text,
)
json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)


def over_the_wire(message: object) -> object:
    return type(message).FromString(message.SerializeToString())  # type: ignore[attr-defined]


@given(replicas)
@settings(max_examples=100, deadline=None)
def test_a_replica_comes_back_as_it_went(replica: Replica) -> None:
    message = over_the_wire(replica_to(replica))
    assert isinstance(message, pb.Replica)
    assert replica_from(message) == replica


@given(text, st.lists(replicas, max_size=3).map(tuple))
@settings(max_examples=50, deadline=None)
def test_a_model_comes_back_as_it_went(name: str, members: tuple[Replica, ...]) -> None:
    message = over_the_wire(model_to(Model(name, members)))
    assert isinstance(message, pb.Model)
    assert model_from(message) == Model(name, members)


@given(st.none() | st.dictionaries(text, json, max_size=4), st.integers(0, 2**40), st.floats(0, 2e9))
@settings(max_examples=100, deadline=None)
def test_a_document_comes_back_as_it_went_deleted_or_not(
    spec: dict[str, object] | None, version: int, time: float
) -> None:
    document = Document("model", "iris", spec, version, "ada@host", time)
    message = over_the_wire(document_to(document))
    assert isinstance(message, pb.Document)
    assert document_from(message) == document


def test_a_state_that_this_version_does_not_know_takes_no_traffic() -> None:
    message = replica_to(Replica("iris", "a", "h", 1))
    message.state = 99  # type: ignore[assignment]
    assert replica_from(message).state is State.STARTING
    assert not replica_from(message).usable
