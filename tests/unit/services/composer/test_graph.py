"""A spec to a graph and back, and what is said of a spec that is wrong."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from inferloom.mesh.errors import InvalidInput
from inferloom.services.composer.graph import graph_from, spec_of

DIGITS = """
timeout: 2s
inputs: {png: "BYTES [1]"}
outputs: {label: votes.label, share: {source: votes.share, datatype: FP64, shape: [1]}}
nodes:
  decode: {function: app:decode, inputs: {png: input.png}}
  votes:
    ensemble:
      combine: weighted_vote
      quorum: 2
      members:
        svm: {model: digits-svm, inputs: {pixels: decode}, on_error: skip, weight: 1.5}
        mlp: {model: digits-mlp, inputs: {pixels: decode}, on_error: {value: {label: 0}}, weight: 2}
  answer:
    route:
      split: {unit: user}
      arms: {a: {pass: {label: votes.label}, share: 90}, b: {pass: {"": votes}, share: 10}}
"""

CANONICAL = {
    "timeout": "2s",
    "inputs": [{"name": "png", "datatype": "BYTES", "shape": [1]}],
    "outputs": [
        {"name": "label", "source": "votes.label"},
        {"name": "share", "source": "votes.share", "datatype": "FP64", "shape": [1]},
    ],
    "nodes": [
        {"name": "decode", "step": {"function": "app:decode", "inputs": {"png": "input.png"}}},
        {
            "name": "votes",
            "ensemble": {
                "combine": "weighted_vote",
                "quorum": 2,
                "members": [
                    {
                        "name": "svm",
                        "step": {"model": "digits-svm", "inputs": {"pixels": "decode"}, "on_error": {"skip": True}},
                        "weight": 1.5,
                    },
                    {
                        "name": "mlp",
                        "step": {
                            "model": "digits-mlp",
                            "inputs": {"pixels": "decode"},
                            "on_error": {"value": {"values": {"label": 0}}},
                        },
                        "weight": 2,
                    },
                ],
            },
        },
        {
            "name": "answer",
            "route": {
                "split": {"unit": "user"},
                "arms": [
                    {"name": "a", "step": {"pass": True, "inputs": {"label": "votes.label"}}, "share": 90},
                    {"name": "b", "step": {"pass": True, "inputs": {"": "votes"}}, "share": 10},
                ],
            },
        },
    ],
}


def test_short_forms_become_the_canonical_one() -> None:
    assert spec_of(graph_from(yaml.safe_load(DIGITS), "digits")) == CANONICAL


def test_the_canonical_form_comes_back_as_it_was() -> None:
    graph = graph_from(CANONICAL, "digits")
    assert graph.name == "digits"
    assert spec_of(graph) == CANONICAL
    assert graph_from(spec_of(graph), "digits") == graph


def test_inputs_may_be_a_list_of_lines() -> None:
    graph = graph_from({"inputs": ["png BYTES [1]", "x FP32 [-1, 64]"]}, "p")
    assert [(tensor.name, tensor.datatype, [*tensor.shape]) for tensor in graph.inputs] == [
        ("png", "BYTES", [1]),
        ("x", "FP32", [-1, 64]),
    ]


def test_an_input_written_out_in_a_mapping_keeps_its_default() -> None:
    graph = graph_from({"inputs": {"k": {"datatype": "INT64", "shape": [1], "default": 3}}}, "p")
    assert spec_of(graph)["inputs"] == [{"name": "k", "datatype": "INT64", "shape": [1], "default": 3}]


def test_a_version_may_be_a_number_of_a_node_a_member_and_an_arm() -> None:
    def written(version: int | str) -> dict[str, Any]:
        call = {"model": "iris", "version": version, "inputs": {"X": "input.X"}}
        ensemble = {"members": {"m": call}}
        route = {"output": "input.X", "arms": {"old": call}}
        return {"nodes": {"a": call, "b": {"step": call}, "c": {"ensemble": ensemble}, "d": {"route": route}}}

    assert graph_from(written(2), "p") == graph_from(written("2"), "p")
    assert graph_from(written(2), "p").nodes[0].step.version == "2"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"nodes": [{"name": "a", "step": {"modle": "x"}}]}, "nodes[0].step.modle: unknown; did you mean 'model'?"),
        ({"timout": "1s"}, "timout: unknown; did you mean 'timeout'?"),
        (
            {"nodes": [{"name": "a", "stepp": {}}]},
            "nodes[0].stepp: unknown; did you mean 'step'?",
        ),
        ({"nodes": [{"step": {"model": "x"}}]}, "nodes[0].name: missing; every node has a name that others refer to"),
        (
            {"nodes": [{"name": "a", "step": {"model": "x", "function": "m:f"}}]},
            "nodes[0].step: both model and function; give one of them",
        ),
        ({"timeout": 5}, "timeout: is int (5); it is text"),
        (
            {"nodes": {"a": {"model": "x", "version": 1.5}}},
            "nodes[0].step.version: is float (1.5); it is text",
        ),
        (
            {"nodes": {"a": {"model": "x", "version": True}}},
            "nodes[0].step.version: is bool (True); it is text",
        ),
        ({"nodes": {"a": 3}}, "nodes[0]: is int (3); it is a mapping of name, step, ensemble, route"),
        ({"nodes": "a"}, "nodes: is text ('a'); it is a list"),
        (
            {"nodes": {"a": {"model": "x", "attempts": -1}}},
            "nodes[0].step.attempts: is int (-1); it is a whole number from 0",
        ),
        (
            {"nodes": {"a": {"model": "x", "inputs": ["b"]}}},
            "nodes[0].step.inputs: is a list; it is a mapping of names",
        ),
        (
            {"nodes": {"a": {"model": "x", "inputs": {"b": 1}}}},
            "nodes[0].step.inputs.b: is int (1); it is text",
        ),
        (
            {"nodes": {"a": {"ensemble": {"members": {"m": {"model": "x", "weight": "2"}}}}}},
            "nodes[0].ensemble.members[0].weight: is text ('2'); it is a number",
        ),
        (
            {"nodes": {"a": {"ensemble": {"members": {"m": {"model": "x", "weight": float("nan")}}}}}},
            "nodes[0].ensemble.members[0].weight: is float (nan); it is a number",
        ),
        (
            {"nodes": {"a": {"ensemble": {"quorum": True}}}},
            "nodes[0].ensemble.quorum: is bool (True); it is a whole number",
        ),
        (
            {"inputs": ["png BYTES"]},
            "inputs[0]: 'png BYTES' is no tensor; write its datatype and shape: png BYTES [1], x FP32 [-1,64]",
        ),
        ({"name": "other"}, "name: 'other', but the pipeline is called 'p'; leave it out of the spec"),
        ([], "spec: is a list; a pipeline is a mapping of inputs, nodes and outputs"),
    ],
)
def test_a_wrong_spec_is_refused_with_the_path_and_what_would_be_right(spec: Any, message: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        graph_from(spec, "p")
    assert str(raised.value) == message
