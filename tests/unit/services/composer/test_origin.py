"""Lines of the function that a graph was traced from."""

from __future__ import annotations

from inferloom.mesh.errors import ConfigError
from inferloom.sdk import Outputs, model, pipeline
from inferloom.services.composer.graph import graph_from, spec_of
from inferloom.services.composer.origin import declaration_of, places_of
from inferloom.services.composer.trace import trace
from inferloom.services.declare.pipeline import Pipeline
from inferloom.v1 import graph_pb2

first, second = model("first"), model("second")


@pipeline
def both(png: bytes) -> Outputs:
    here = first(png=png)
    return Outputs(label=second(x=here.x).label)


def stored(of: Pipeline[..., Outputs]) -> graph_pb2.Graph:
    """As a document holds it."""
    return graph_from(spec_of(trace(of.declaration)), of.name)


def test_nodes_that_are_as_the_function_makes_them_have_lines() -> None:
    graph = stored(both)
    line = both.declaration.function.__code__.co_firstlineno
    assert declaration_of(graph) is both.declaration
    found = {name: int(place.rpartition(":")[2]) - line for name, place in places_of(graph).items()}
    assert found == {"first": 2, "second": 3}


def test_a_node_that_the_function_makes_otherwise_by_now_has_none() -> None:
    graph = stored(both)
    graph.nodes[1].step.timeout = "1s"
    assert list(places_of(graph)) == ["first"]


def test_a_graph_that_was_written_by_hand_or_renamed_has_none() -> None:
    graph = stored(both)
    graph.name = "other"
    assert places_of(graph) == {}
    graph.types = ""
    assert places_of(graph) == {}


def test_a_function_that_cannot_be_traced_any_more_has_none() -> None:
    graph = stored(both)

    def broken(png: bytes) -> Outputs:
        raise ConfigError("not now")

    function = both.declaration.function
    object.__setattr__(both.declaration, "function", broken)
    try:
        assert places_of(graph) == {}
    finally:
        object.__setattr__(both.declaration, "function", function)
