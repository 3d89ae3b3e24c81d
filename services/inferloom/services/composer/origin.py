"""The Python function that a graph was traced from, where it is part of this process."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import structlog

from inferloom.services.composer.graph import graph_from, spec_of
from inferloom.services.composer.trace import traced
from inferloom.services.declare.pipeline_declaration import PipelineDeclaration
from inferloom.v1 import graph_pb2

__all__ = ["declaration_of", "places_of"]

log = structlog.get_logger(__name__)


def declaration_of(graph: graph_pb2.Graph) -> PipelineDeclaration | None:
    """The one that `Graph.types` names."""
    module, _, function = graph.types.partition(":")
    declaration = getattr(getattr(sys.modules.get(module), function, None), "declaration", None)
    if isinstance(declaration, PipelineDeclaration) and declaration.name == graph.name:
        return declaration
    return None


def places_of(graph: graph_pb2.Graph) -> Mapping[str, str]:
    """ "file:line" as `Traced.places` has them, of the nodes that the function still makes as they are in the graph."""
    declaration = declaration_of(graph)
    if declaration is None:
        return {}
    try:
        found = traced(declaration)
    except Exception as error:  # the user's code, which may be another by now; lines are an extra
        log.debug("the function cannot be traced", pipeline=graph.name, error=str(error))
        return {}
    now = {node.name: node for node in graph_from(spec_of(found.graph), graph.name).nodes}
    same = {node.name for node in graph.nodes if now.get(node.name) == node}
    return {key: place for key, place in found.places.items() if key.partition(".")[0] in same}
