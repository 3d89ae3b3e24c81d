from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferloom.mesh.catalog import EMPTY, Catalog, Model, Replica, State, version_key

A = Replica("iris", "a", "10.0.0.1", 8001, versions=("1",))
B = replace(A, id="b", host="10.0.0.2")
OTHER = Replica("digits", "a", "10.0.0.1", 8001)

replicas = st.builds(
    Replica,
    model=st.sampled_from(["iris", "digits", "wine"]),
    id=st.sampled_from(["a", "b", "c"]),
    host=st.just("h"),
    port=st.integers(1, 3),
    state=st.sampled_from(list(State)),
)


def test_a_model_that_did_not_change_is_the_same_object() -> None:
    before = Catalog.build([A, B, OTHER])
    after = Catalog.build([replace(A, state=State.DRAINING), B, OTHER], before)
    assert after.models["digits"] is before.models["digits"]
    assert after.models["iris"] is not before.models["iris"]
    assert after.index == before.index + 1


def test_equal_replicas_in_another_order_are_the_same_catalog() -> None:
    before = Catalog.build([A, B, OTHER])
    assert Catalog.build([replace(OTHER), replace(B), replace(A)], before) is before


def test_going_stale_is_a_new_catalog_of_the_same_models() -> None:
    before = Catalog.build([A])
    stale = Catalog.build([A], before, fresh=False)
    assert (stale.fresh, stale.index) == (False, 2)
    assert stale.models["iris"] is before.models["iris"]


def test_a_model_without_replicas_is_gone() -> None:
    before = Catalog.build([A, OTHER])
    assert set(Catalog.build([A], before).models) == {"iris"}
    assert not Catalog.build([], before).models


@given(st.lists(st.lists(replicas, max_size=6), min_size=1, max_size=5))
@settings(max_examples=100, deadline=None)
def test_a_model_is_a_new_object_exactly_where_its_replicas_changed(states: list[list[Replica]]) -> None:
    before = EMPTY
    for state in states:
        after = Catalog.build(state, before)
        for name, model in after.models.items():
            known = before.models.get(name)
            assert (model is known) == (known is not None and known.replicas == model.replicas)
            assert [replica.id for replica in model.replicas] == sorted(replica.id for replica in model.replicas)
        assert (after is before) == (after.models == before.models)
        before = after


def test_models_and_catalog_cannot_be_changed() -> None:
    catalog = Catalog.build([A])
    with pytest.raises(TypeError):
        catalog.models["iris"] = Model("iris", ())  # type: ignore[index]
    with pytest.raises(AttributeError):
        A.port = 1  # type: ignore[misc]


def test_near_names_ignore_case_and_come_best_first() -> None:
    catalog = Catalog.build([replace(A, model=name) for name in ("iris", "Iris-v2", "digits", "wine")])
    assert catalog.near("IRIS")[0] == "iris"
    assert catalog.near("irsi")[0] == "iris"
    assert catalog.near("zzzzzz") == []


def test_versions_are_ordered_as_numbers() -> None:
    model = Model("iris", (replace(A, versions=("2", "10")), replace(B, versions=("1", "2"))))
    assert model.versions == ("1", "2", "10")
    assert version_key("nightly") < version_key("1")
    assert version_key("²") < version_key("1")  # a digit to str.isdigit, none to int


def test_the_default_version_is_the_oldest() -> None:
    assert replace(A, versions=("2", "10")).default_version == "2"
    assert replace(A, versions=()).default_version == ""


@pytest.mark.parametrize(
    ("state", "healthy", "usable"),
    [
        (State.SERVING, True, True),
        (State.SERVING, False, False),
        (State.STARTING, True, False),
        (State.DRAINING, True, False),
    ],
)
def test_only_a_healthy_serving_replica_is_usable(state: State, healthy: bool, usable: bool) -> None:
    replica = replace(A, state=state, healthy=healthy)
    assert replica.usable is usable
    assert Model("iris", (replica,)).ready is usable


def test_an_ipv6_address_stands_in_brackets() -> None:
    assert replace(A, host="::1").address == "[::1]:8001"
    assert A.address == "10.0.0.1:8001"
