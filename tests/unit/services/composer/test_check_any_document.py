"""Whatever somebody writes into a document: a graph or InvalidInput, and a check that ends with findings, not a crash."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from inferloom.mesh.errors import InvalidInput
from inferloom.services.composer.check import check
from inferloom.services.composer.draw import draw
from inferloom.services.composer.draw_svg import draw_svg
from inferloom.services.composer.graph import graph_from, spec_of
from tests.support.graphs import known

WHOLE = """
timeout: 2s
inputs: [{name: png, datatype: BYTES, shape: [1]}, {name: x, datatype: FP32, shape: [-1, 64]}]
outputs: [{name: label, source: answer.label}]
nodes:
  - {name: pixels, step: {function: "app:decode", inputs: {png: input.png}, constants: {scale: 2}}}
  - name: votes
    ensemble:
      combine: weighted_vote
      quorum: 1
      wait: 50ms
      output: label
      members:
        - {name: svm, weight: 2, step: {model: digits-svm, inputs: {"": pixels}, on_error: {skip: true}}}
        - {name: mlp, weight: 1, step: {model: digits-mlp, inputs: {pixels: input.x}, timeout: 20ms}}
  - {name: kind, step: {function: "app:kind", inputs: {png: input.png}}}
  - name: chosen
    route:
      output: kind
      default: none
      arms:
        - {name: votes, step: {pass: true, inputs: {label: votes.label}}}
        - {name: none, step: {pass: true, constants: {label: 0}}}
  - name: answer
    route:
      split: {unit: user, overrides: {me: a}}
      arms:
        - {name: a, share: 9, step: {pass: true, inputs: {"": chosen}}}
        - {name: b, share: 0.5, mirror: true, step: {pass: true, inputs: {label: votes.label}}}
"""
WORDS = [
    "", "a", "votes", "votes.label", "input.png", "pixels", "input", "mean", "stack", "function", "digits-svm", "over",
    "50ms", "0s", "label", "FP32", "BYTES", "app:oldest", "speak", "kind",
]  # fmt: skip
KEYS = [
    "name", "step", "ensemble", "route", "model", "function", "pass", "inputs", "constants", "on_error", "value", "members",
    "combine", "rules", "when", "split", "output", "arms", "share", "mirror", "weight", "quorum", "", "label", "timeout",
]  # fmt: skip
SCALARS = st.one_of(
    st.sampled_from(WORDS),
    st.integers(-3, 4),
    st.floats(),
    st.booleans(),
    st.none(),
    st.integers(),
    st.text(max_size=3),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=3)),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, each in inner for place in places(each, (*path, key)))]


@st.composite
def specs(draw_: st.DrawFn) -> Any:
    """The pipeline above, which is right, with a few places changed."""
    spec = yaml.safe_load(WHOLE)
    for _ in range(draw_(st.integers(0, 3))):
        *path, last = draw_(st.sampled_from(places(spec)[1:]))
        inside = spec
        for key in path:
            inside = inside[key]
        how = draw_(st.sampled_from(["replace", "remove", "add"]))
        if how == "remove":
            del inside[last]
        elif how == "add" and isinstance(inside, dict):
            inside[draw_(st.sampled_from(KEYS))] = draw_(VALUES)
        else:
            inside[last] = draw_(VALUES)
    return spec


def test_the_pipeline_itself_is_right() -> None:
    graph = graph_from(yaml.safe_load(WHOLE), "p")
    assert [str(finding) for finding in check(graph, known()).findings] == []


@settings(max_examples=300, deadline=None)
@given(specs())
def test_a_changed_document_is_refused_or_checked(spec: Any) -> None:
    try:
        graph = graph_from(spec, "p")
    except InvalidInput:
        return
    assert graph_from(spec_of(graph), "p") == graph
    checked = check(graph, known())
    assert all(str(finding) for finding in checked.findings)
    if not checked.findings:
        assert checked.nodes.keys() == {node.name for node in graph.nodes}
        assert {reference.node for reference in checked.outputs.values()} <= checked.nodes.keys() | {"input"}
    assert draw(graph)
    assert draw_svg(graph)
