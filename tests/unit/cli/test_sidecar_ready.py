"""When a sidecar is ready: what a Kubernetes probe and the `ready` line wait for."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from inferloom.cli.sidecar import why_not_ready
from inferloom.sidecar.board import ModelStatus, Phase, SidecarStatus


def status(phase: Phase = Phase.SERVING, *, looked: bool = True, **models: Phase) -> SidecarStatus:
    """A sidecar's status; a model that failed or loads serves no version."""
    return SidecarStatus(phase, looked=looked, models={name: model(name, at) for name, at in models.items()})


def model(name: str, phase: Phase) -> ModelStatus:
    message = {Phase.FAILED: "it is broken", Phase.LOADING: "loading version 1"}.get(phase, "")
    return ModelStatus(name, phase, message, ("1",) if phase is Phase.SERVING else ())


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (status(Phase.STARTING, looked=False), "Triton is starting"),
        (status(looked=False), "its models are not known yet: the repository has not been read"),
        (status(), ""),
        (status(a=Phase.SERVING, b=Phase.LOADING), "loading b"),
        (status(a=Phase.SERVING, b=Phase.WARMING, c=Phase.STARTING), "loading b, c"),
        (status(a=Phase.SERVING, b=Phase.FAILED), ""),
        (status(a=Phase.FAILED, b=Phase.FAILED), "no model serves: a: it is broken; b: it is broken"),
    ],
    ids=[
        "Triton starts",
        "the repository was not looked at",
        "it is empty",
        "one loads",
        "two are on the way",
        "one of two is refused",
        "all are refused",
    ],
)
def test_it_is_ready_when_all_models_were_tried_and_one_of_them_serves(found: SidecarStatus, why: str) -> None:
    assert why_not_ready(found) == why


def test_a_version_that_serves_while_another_fails_is_enough() -> None:
    models: Mapping[str, ModelStatus] = {"a": ModelStatus("a", Phase.FAILED, "version 2: it is broken", ("1",))}
    assert why_not_ready(SidecarStatus(Phase.SERVING, looked=True, models=models)) == ""
