from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferloom.cli.up.documents import ModelSpec
from inferloom.cli.up.placement import Place, place
from inferloom.mesh.errors import InvalidInput

GPUS = tuple(f"GPU-{number}" for number in range(8))


def spec(name: str, replicas: int = 1, gpus: int = 0) -> ModelSpec:
    return ModelSpec(name, {}, replicas, gpus)


def where(places: dict[str, Place], name: str) -> list[str]:
    return sorted(key for key, one in places.items() if name in one.models)


def test_models_without_gpus_share_as_many_tritons_as_the_most_replicas_need() -> None:
    places = place([spec("a", 3), spec("b", 2), spec("c")])
    assert sorted(places) == ["triton-0", "triton-1", "triton-2"]
    assert where(places, "a") == sorted(places)
    assert len(where(places, "b")) == 2
    assert sorted(len(one.models) for one in places.values()) == [2, 2, 2]


def test_a_model_with_gpus_has_a_triton_of_its_own_for_each_replica() -> None:
    places = place([spec("a", 2, 2), spec("b")], gpus=GPUS)
    assert {key: one.gpus for key, one in places.items() if one.gpus} == {
        "a-gpu-0": ("GPU-0", "GPU-1"),
        "a-gpu-1": ("GPU-2", "GPU-3"),
    }
    assert places["triton-0"] == Place("triton-0", frozenset({"b"}))


def test_more_gpus_than_there_are_is_an_error_that_says_who_asks() -> None:
    with pytest.raises(InvalidInput, match="'a' asks for 2 GPUs, 'b' asks for 1 GPU, and this machine has only 2"):
        place([spec("a", 1, 2), spec("b", 1, 1)], gpus=GPUS[:2])


def test_nothing_needs_no_triton() -> None:
    assert place([]) == {}


specs = st.lists(
    st.builds(spec, st.sampled_from("abcdef"), st.integers(1, 5), st.sampled_from([0, 0, 0, 1, 2])),
    max_size=6,
    unique_by=lambda one: one.name,
)


def fits(models: list[ModelSpec]) -> bool:
    return sum(one.gpus * one.replicas for one in models) <= len(GPUS)


@given(st.lists(specs.filter(fits), min_size=1, max_size=5))
@settings(max_examples=150, deadline=None)
def test_whatever_changes_every_model_is_where_it_should_be_and_stays_while_it_can(
    states: list[list[ModelSpec]],
) -> None:
    before: dict[str, Place] = {}
    for models in states:
        after = place(models, before, GPUS)
        taken: list[str] = []
        for key, one in after.items():
            assert one.id == key
            taken += one.gpus
            assert one.models or not one.gpus
        assert len(taken) == len(set(taken)), "two Tritons share a GPU"
        for model in models:
            held = where(after, model.name)
            assert len(held) == model.replicas, "replicas are on distinct Tritons, neither fewer nor more"
            for key in held:
                assert len(after[key].gpus) == model.gpus
                if model.gpus:
                    assert after[key].models == {model.name}
            stayed = [key for key in where(before, model.name) if key in after and len(before[key].gpus) == model.gpus]
            assert all(after[key].gpus == before[key].gpus for key in stayed)
            assert len(set(stayed) & set(held)) == min(len(stayed), model.replicas), "it moved without need"
        assert {name for one in after.values() for name in one.models} == {model.name for model in models}
        assert place(models, after, GPUS) == after, "the same documents again move something"
        before = after
