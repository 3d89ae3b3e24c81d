"""How many models' paces, and requests a second, a process keeps."""

from __future__ import annotations

import random

from inferloom.mesh.clock import ManualClock
from inferloom.mesh.explain.explainer import MODELS, MOST_A_SECOND, Explainer


def test_one_model_too_many_takes_the_place_of_the_oldest_alone() -> None:
    explainer = Explainer(ManualClock(), random.Random(1), "control")
    for number in range(MODELS + 1):
        explainer.pace(f"model-{number}").fail()
    assert len(explainer.paces) == MODELS
    assert "model-0" not in explainer.paces
    assert explainer.pace("model-1").count == 1


async def test_it_is_full_for_the_rest_of_a_second() -> None:
    clock = ManualClock()
    explainer = Explainer(clock, random.Random(1), "control")
    for _ in range(MOST_A_SECOND):
        assert not explainer.full
        assert explainer.room()
    assert explainer.full
    assert not explainer.room()
    await clock.advance(1)
    assert not explainer.full
