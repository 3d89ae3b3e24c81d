"""Routes in Python: by shares, rules and values, with arms that are calls, chains or constants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from inferloom.mesh.errors import ConfigError
from inferloom.sdk import Outputs, model, pipeline, route, step
from inferloom.services.composer.graph import spec_of
from inferloom.services.composer.trace import trace

svm, mlp, forest = model("svm"), model("mlp"), model("forest")


@step
def crop(png: bytes) -> bytes:
    raise NotImplementedError


@step
def kind(png: bytes) -> str:
    raise NotImplementedError


def nodes(function: Callable[..., Any]) -> dict[str, Any]:
    return {node["name"]: node for node in spec_of(trace(pipeline("p")(function).declaration))["nodes"]}


def error(function: Callable[..., Any]) -> str:
    with pytest.raises(ConfigError) as raised:
        nodes(function)
    text = str(raised.value)
    place, _, rest = text.partition(": ")
    assert place == f"tests/unit/services/composer/test_trace_routes.py:{function.__code__.co_firstlineno + 1}"
    return rest


def test_shares_with_a_mirror() -> None:
    def shares(x: bytes) -> Outputs:
        answer = route(
            by="user",
            arms={"a": (90, svm(x)), "b": (10, mlp(x))},
            mirror={"c": (0.5, forest(x))},
            overrides={"me": "b"},
        )
        return Outputs(label=answer.label)

    assert nodes(shares) == {
        "answer": {
            "name": "answer",
            "route": {
                "split": {"unit": "user", "overrides": {"me": "b"}},
                "arms": [
                    {"name": "a", "step": {"model": "svm", "inputs": {"": "input.x"}}, "share": 90},
                    {"name": "b", "step": {"model": "mlp", "inputs": {"": "input.x"}}, "share": 10},
                    {"name": "c", "step": {"model": "forest", "inputs": {"": "input.x"}}, "share": 0.5, "mirror": True},
                ],
            },
        }
    }


def test_rules_with_inputs_and_a_default() -> None:
    def ruled(x: bytes, size: int) -> Outputs:
        answer = route(
            rules=[("metadata['tier'] == 'gold'", svm(x)), ("size > 3", Outputs(label=0))],
            inputs={"size": size},
            default=mlp(x),
        )
        return Outputs(label=answer.label)

    assert nodes(ruled)["answer"]["route"] == {
        "rules": {"inputs": {"size": "input.size"}},
        "default": "default",
        "arms": [
            {"name": "svm", "step": {"model": "svm", "inputs": {"": "input.x"}}, "when": "metadata['tier'] == 'gold'"},
            {"name": "rule-2", "step": {"pass": True, "constants": {"label": 0}}, "when": "size > 3"},
            {"name": "default", "step": {"model": "mlp", "inputs": {"": "input.x"}}},
        ],
    }


def test_a_value_chooses_and_the_default_may_be_one_of_the_arms() -> None:
    def chosen(x: bytes) -> Outputs:
        answer = route(on=kind(x), arms={"face": svm(x), "other": mlp(x)}, default="other")
        return Outputs(label=answer.label)

    made = nodes(chosen)["answer"]["route"]
    assert (made["output"], made["default"]) == ("kind", "other")
    assert [arm["name"] for arm in made["arms"]] == ["face", "other"]


def test_the_end_of_a_chain_is_folded_and_the_rest_stays_as_nodes() -> None:
    def chained(x: bytes) -> Outputs:
        answer = route(on=kind(x), arms={"face": svm(crop(x))}, default=Outputs(label=0))
        return Outputs(label=answer.label)

    found = nodes(chained)
    assert list(found) == ["kind", "crop", "answer"]
    assert found["answer"]["route"]["arms"][0] == {"name": "face", "step": {"model": "svm", "inputs": {"": "crop"}}}


def test_an_arm_may_pick_outputs() -> None:
    def picked(x: bytes) -> Outputs:
        answer = route(on=kind(x), arms={"a": svm(x).label, "b": Outputs(label=mlp(x).digit)}, default="a")
        return Outputs(label=answer.label)

    found = nodes(picked)
    assert list(found) == ["kind", "svm", "mlp", "answer"]
    assert [arm["step"] for arm in found["answer"]["route"]["arms"]] == [
        {"pass": True, "inputs": {"label": "svm.label"}},
        {"pass": True, "inputs": {"label": "mlp.digit"}},
    ]


def test_forms_that_do_not_go_together_are_refused() -> None:
    def none(x: bytes) -> Outputs:
        return route(arms={"a": svm(x)})  # type: ignore[no-any-return]  # a traced value

    def two(x: bytes) -> Outputs:
        return route(on=x, by="user", arms={})  # type: ignore[no-any-return]  # a traced value

    def stray(x: bytes) -> Outputs:
        return route(by="user", arms={"a": (1, svm(x))}, default=mlp(x))  # type: ignore[no-any-return]  # a traced value

    def no_share(x: bytes) -> Outputs:
        return route(by="user", arms={"a": svm(x)})  # type: ignore[no-any-return]  # a traced value

    def no_arm(x: bytes) -> Outputs:
        return route(on=kind(x), arms={"face": svm(x)}, default="fase")  # type: ignore[no-any-return]  # a traced value

    def constant(x: bytes) -> Outputs:
        return route(on=kind(x), arms={"face": svm(x)}, default=0)  # type: ignore[no-any-return]  # a traced value

    def no_value(x: bytes) -> Outputs:
        return route(on=3, arms={"face": svm(x)})  # type: ignore[no-any-return]  # a traced value

    assert error(none) == "route has none of on=, by= and rules=; give one of them"
    assert error(two) == "route has both on and by; give one of them"
    assert error(stray) == "route(by=...) has no default=; it takes arms, mirror"
    assert error(no_share).endswith("by shares an arm is (share, call): (90, svm(x))")
    assert error(no_arm) == "route: default='fase' is no arm; did you mean 'face'?"
    assert error(constant) == "route, arm default: 0; an arm is a call, or Outputs(name=value, ...)"
    assert error(no_value) == "route: on=3 is no value of the pipeline"


@pytest.mark.parametrize(("name", "message"), [(True, 'write "true", not True'), (3, 'write "3", not 3')])
def test_the_name_of_an_arm_is_text(name: Any, message: str) -> None:
    def no_text(png: bytes) -> Outputs:
        return Outputs(label=route(on=kind(png), arms={name: svm(png)}).label)

    assert error(no_text) == f"route: the name of an arm is text: {message}"
