"""What has run through a pipeline, by node and by edge."""

from __future__ import annotations

import pytest

from inferloom.mesh.explain.story import Step
from inferloom.services.composer.flow import Flow, edges_of
from tests.support.graphs import checked

VOTES = """
nodes:
  - {name: look, step: {model: digits-svm, inputs: {pixels: input.x}}}
  - name: votes
    ensemble:
      combine: mean
      output: probabilities
      members:
        - {name: mlp, step: {model: digits-mlp, inputs: {pixels: input.x}}}
        - {name: forest, step: {model: digits-forest, inputs: {pixels: input.x}}}
outputs: {mean: votes.probabilities, label: look.label}
"""


def node(flow: Flow, name: str) -> tuple[int, int, float, float, int]:
    (found,) = [each for each in flow.message("p").nodes if each.name == name]
    return found.requests, found.failed, round(found.seconds, 6), found.batches, found.late


def test_the_edges_are_those_of_the_graph() -> None:
    graph = checked(VOTES)
    assert graph.findings == ()
    assert edges_of(graph) == (
        ("input", "look"),
        ("input", "votes"),
        ("votes", "output"),
        ("look", "output"),
    )


def test_the_members_of_a_node_count_as_one_request_that_took_as_long_as_all_of_them() -> None:
    flow = Flow()
    flow.edges = (("input", "votes"), ("votes", "output"))
    steps = [Step("votes.mlp", "model 'mlp'", 1.0, 1.2), Step("votes.forest", "model 'forest'", 1.1, 1.5)]
    flow.add(steps, {"votes.answered": "mlp,forest"}, failed=False)
    assert node(flow, "votes") == (1, 0, 0.5, 1.0, 0)
    assert [edge.requests for edge in flow.message("p").edges] == [1, 1]


def test_a_batch_of_four_is_a_quarter_of_a_batch_for_each_of_its_requests() -> None:
    flow = Flow()
    step = Step("svm", "model 'svm'", 0.0, 1.0, rows=8, requests=4)
    for _ in range(4):
        flow.add([Step("svm", "batch", -1.0, 0.0), step], {}, failed=False)
    assert node(flow, "svm") == (4, 0, 4.0, 1.0, 0)


@pytest.mark.parametrize(("code", "failed"), [("OK", 0), ("CANCELLED", 0), ("INTERNAL", 1)])
def test_who_is_no_longer_waited_for_has_not_failed(code: str, failed: int) -> None:
    flow = Flow()
    flow.add([Step("votes.mlp", "model 'mlp'", 0.0, 1.0, code=code)], {"votes.late": "mlp,forest"}, failed=False)
    assert node(flow, "votes")[1] == failed
    assert node(flow, "votes")[4] == 2


def test_what_failed_did_not_come_out() -> None:
    flow = Flow()
    flow.edges = (("input", "a"), ("a", "output"))
    flow.add([Step("a", "model 'a'", 0.0, 1.0, code="INTERNAL")], {}, failed=True)
    message = flow.message("p")
    assert (message.requests, message.failed, [edge.requests for edge in message.edges]) == (1, 1, [1, 0])
