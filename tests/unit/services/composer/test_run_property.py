"""The executor, batching and all, against an interpreter of twenty lines that does one thing after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import numpy as np
from grpc import StatusCode
from hypothesis import given, settings
from hypothesis import strategies as st

from inferloom.mesh.errors import InferloomError, ReplicaError
from tests.unit.services.composer.composer_fakes import Arrays, FakeMesh, FakeModel, doubled, graph

Array = Any
FALLBACK = [-1.0, -2.0]


def adds(arrays: Arrays) -> Arrays:
    return {"y": arrays["x"] + np.float32(1)}


def refuses_threes(arrays: Arrays) -> Arrays:
    if (arrays["x"] % 3 == 0).any():
        raise ReplicaError(StatusCode.INTERNAL, "a multiple of three")
    return {"y": arrays["x"] - np.float32(1)}


MODELS = {"double": doubled, "add": adds, "picky": refuses_threes, "alone": adds}


def models() -> dict[str, FakeModel]:
    found = {name: FakeModel(function, seconds=0.01) for name, function in MODELS.items()}
    found["alone"].most = 0  # does not batch
    found["add"].seconds = 0.03
    return found


@st.composite
def use(draw: st.DrawFn, sources: list[str]) -> dict[str, Any]:
    step: dict[str, Any] = {
        "model": draw(st.sampled_from(sorted(MODELS))),
        "inputs": {"x": draw(st.sampled_from(sources))},
    }
    error = draw(st.sampled_from(["fail", "fail", "value", "model", "skip"]))
    if error == "value" and step["model"] != "alone":  # which has no rows for a value to be one of
        step["on_error"] = {"value": {"values": {"y": FALLBACK}}}
    elif error == "model":
        step["on_error"] = {"model": "double"}
    elif error == "skip":
        step["on_error"] = {"skip": True}
    return step


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, Any]:
    nodes: list[dict[str, Any]] = []
    sources = ["input.x"]
    for number in range(draw(st.integers(1, 7))):
        name = f"n{number}"
        kind = draw(st.sampled_from(["step", "step", "ensemble", "route"]))
        if kind == "step":
            nodes.append({"name": name, "step": draw(use(sources))})
        elif kind == "ensemble":
            members = [{"name": f"m{i}", "step": draw(use(sources))} for i in range(draw(st.integers(1, 3)))]
            quorum = draw(st.integers(0, len(members)))
            how = draw(st.sampled_from(["mean", "max"]))
            nodes.append(
                {"name": name, "ensemble": {"members": members, "combine": how, "output": "y", "quorum": quorum}}
            )
        else:
            gold = {"name": "gold", "when": "metadata['tier'] == 'gold'", "step": draw(use(sources))}
            other = {"name": "other", "step": draw(use(sources))}
            nodes.append({"name": name, "route": {"arms": [gold, other], "rules": {}, "default": "other"}})
        sources.append(f"{name}.y")
    used = {node["name"] for node in nodes if any(f"{node['name']}.y" in str(other) for other in nodes)}
    ends = [node["name"] for node in nodes if node["name"] not in used]  # nothing is unreachable
    return graph(nodes, {f"out-{name}": f"{name}.y" for name in ends})


class Failed(Exception):
    """Codes of what may be the first failure."""

    def __init__(self, codes: set[StatusCode]) -> None:
        self.codes = codes


def interpreted(spec: Mapping[str, Any], x: Array, tier: str) -> dict[str, Array]:
    """The outputs; a missing one was skipped. Raises Failed."""
    written = {node["name"]: node for node in spec["nodes"]}

    def value(reference: str) -> Array | None:
        if reference == "input.x":
            return x
        node = written[reference.partition(".")[0]]
        if "step" in node:
            return call(node["step"])
        if "route" in node:
            arms = node["route"]["arms"]
            return call(arms[0 if tier == "gold" else 1]["step"])
        return combined(node["ensemble"])

    def call(step: Mapping[str, Any]) -> Array | None:
        given = value(step["inputs"]["x"])
        if given is None:
            return None
        try:
            return MODELS[step["model"]]({"x": given})["y"]
        except ReplicaError as error:
            match step.get("on_error"):
                case {"value": _}:
                    return np.array([FALLBACK] * len(given), np.float32)
                case {"model": other}:
                    return MODELS[other]({"x": given})["y"]
                case {"skip": True}:
                    return None
            raise Failed({error.code}) from None

    def combined(ensemble: Mapping[str, Any]) -> Array | None:
        found, codes = [], set[StatusCode]()
        for member in ensemble["members"]:
            try:
                given = call(member["step"])
            except Failed as failed:
                codes |= failed.codes
            else:
                found += [given] if given is not None else []
        quorum = ensemble["quorum"]
        if len(found) < (quorum or len(ensemble["members"])):
            if codes:
                raise Failed({*codes, StatusCode.UNAVAILABLE})
            return None
        return np.mean(found, axis=0, dtype=np.float32) if ensemble["combine"] == "mean" else np.max(found, axis=0)

    outputs: dict[str, Array] = {}
    codes: set[StatusCode] = set()
    for output in spec["outputs"]:
        try:
            given = value(output["source"])
        except Failed as failed:
            codes |= failed.codes
        else:
            if given is not None:
                outputs[output["name"]] = given
    if codes:
        raise Failed(codes)
    return outputs


def interpreted_or_failed(spec: Mapping[str, Any], x: Array, tier: str) -> dict[str, Array] | Failed:
    try:
        return interpreted(spec, x, tier)
    except Failed as failed:
        return failed


requests = st.lists(
    st.tuples(
        st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=3),
        st.sampled_from(["gold", "tin"]),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=150, deadline=None)
@given(graphs(), requests, st.booleans())
def test_the_executor_answers_as_the_interpreter_does(
    spec: dict[str, Any], asked: list[tuple[list[tuple[int, int]], str]], batching: bool
) -> None:
    async def check() -> None:
        mesh = FakeMesh(models(), tokens=10_000.0)
        pipeline = mesh.pipeline(spec, batching=batching)
        calls = [mesh.ask(pipeline, x=np.array(rows, np.float32), metadata=(("tier", tier),)) for rows, tier in asked]
        answers = await mesh.run(*calls)
        for (rows, tier), answer in zip(asked, answers, strict=True):
            wanted = interpreted_or_failed(spec, np.array(rows, np.float32), tier)
            if isinstance(wanted, Failed):
                assert isinstance(answer, InferloomError), answer
                assert answer.code in wanted.codes
                assert str(answer).startswith("pipeline 'p'")
                continue
            assert not isinstance(answer, BaseException), answer
            assert answer.outputs.keys() == wanted.keys()
            for name, array in wanted.items():
                assert np.array_equal(answer.outputs[name], array), name
        await mesh.clock.advance(0.0)  # no time passes: what nobody waits for any more is cancelled, not awaited
        assert all(sent.outcome != "running" for sent in mesh.sent)

    asyncio.run(check())
