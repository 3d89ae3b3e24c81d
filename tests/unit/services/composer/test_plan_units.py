"""Which nodes are batched together."""

from __future__ import annotations

from typing import Any

from inferloom.services.composer.node_batched import BatchedNode
from inferloom.services.composer.plan import Plan
from inferloom.services.composer.units import depth, units_of
from tests.unit.services.composer.composer_fakes import FakeMesh, FakeModel, doubled, graph, step


def plan(nodes: list[dict[str, Any]], outputs: dict[str, str]) -> Plan:
    mesh = FakeMesh({"row": FakeModel(doubled), "other": FakeModel(doubled), "alone": FakeModel(doubled, most=0)})
    return mesh.pipeline(graph(nodes, outputs)).plan


def units(nodes: list[dict[str, Any]], outputs: dict[str, str]) -> list[list[str]]:
    """Names of the nodes in each unit that is batched."""
    segment = plan(nodes, outputs).segment
    return sorted(sorted(n.name for n in node.segment.nodes) for node in segment.nodes if isinstance(node, BatchedNode))


def test_a_pipeline_of_row_wise_nodes_is_one_unit() -> None:
    nodes = [step("a", "row", x="input.x"), step("b", "row", x="a.y"), step("c", "row", x="input.x")]
    assert units(nodes, {"b": "b.y", "c": "c.y"}) == [["a", "b", "c"]]
    assert plan(nodes, {"b": "b.y", "c": "c.y"}).whole is not None


def test_what_is_not_row_wise_divides() -> None:
    nodes = [step("a", "row", x="input.x"), step("b", "row", x="a.y"), step("c", "alone", x="b.y")]
    nodes += [step("d", "row", x="c.y"), step("e", "row", x="d.y")]
    assert units(nodes, {"e": "e.y"}) == [["a", "b"], ["d", "e"]]


def test_nobody_outside_waits_for_a_part_of_a_unit_that_it_does_not_need() -> None:
    nodes = [step("a", "row", x="input.x"), step("b", "row", x="a.y"), step("slow", "alone", x="a.y")]
    assert units(nodes, {"b": "b.y", "s": "slow.y"}) == [["a"], ["b"]]


def test_what_only_one_member_needs_is_not_part_of_the_ensembles_unit() -> None:
    members = [
        {"name": "m", "step": {"model": "row", "inputs": {"x": "input.x"}}},
        {"name": "n", "step": {"model": "row", "inputs": {"x": "c.y"}}},
    ]
    ensemble = {"name": "e", "ensemble": {"combine": "mean", "output": "y", "quorum": 1, "members": members}}
    found = plan([step("c", "alone", x="input.x"), ensemble], {"y": "e.y"})
    assert found.whole is None
    assert [unit.node.name for unit in found.units] == ["e.m", "e.n"]  # each member for itself


def test_a_diamond_is_one_unit_between_two_nodes_that_are_not_row_wise() -> None:
    needs = {"in": set(), "a": {"in"}, "b": {"a"}, "c": {"a"}, "d": {"b", "c"}, "out": {"d"}}
    ports = {name: {"": frozenset(needed)} for name, needed in needs.items()}
    rows = dict.fromkeys(needs, True) | {"in": False, "out": False}
    assert units_of(list(needs), rows, ports, ["out"]) == [["in"], ["a", "b", "c", "d"], ["out"]]


def test_units_are_convex() -> None:
    needs = {"a": set(), "x": {"a"}, "b": {"x"}, "c": {"a", "b"}}  # x is not row-wise
    ports = {name: {"": frozenset(needed)} for name, needed in needs.items()}
    rows = {"a": True, "x": False, "b": True, "c": True}
    assert units_of(list(needs), rows, ports, ["c"]) == [["a"], ["x"], ["b", "c"]]


def test_depth_counts_calls_one_after_the_other() -> None:
    needs = {"a": frozenset[str](), "b": frozenset("a"), "c": frozenset("a"), "d": frozenset("bc")}
    assert depth(list(needs), needs, {"a": 1, "b": 1, "c": 2, "d": 0}) == 3


def test_each_stage_may_work_on_another_batch() -> None:
    chain = [step("a", "row", x="input.x"), step("b", "other", x="a.y")]
    [unit] = plan(chain, {"y": "b.y"}).units
    assert unit.node.batcher.allowed == 2
    [unit] = plan([step("a", "row", x="input.x")], {"y": "a.y"}).units
    assert unit.node.batcher.allowed == 1
