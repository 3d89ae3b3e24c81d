"""Recorded calls to nodes: a call that is only a member or an arm moves into it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inferloom.services.composer.references import Reference
from inferloom.services.composer.symbols import Symbol, reference_of
from inferloom.v1 import graph_pb2

__all__ = ["Part", "folded"]


@dataclass
class Part:
    """A member or an arm: a traced value, or the fields that an arm answers with."""

    target: Any  # graph_pb2.Member or Arm inside its node
    value: Symbol | Mapping[str, Any]
    step: graph_pb2.Step | None = None  # where the value is fields

    @property
    def name(self) -> str:
        return str(self.target.name)


def folded(calls: Mapping[str, Any]) -> tuple[list[graph_pb2.Node], dict[str, str]]:
    """The nodes in the order of the calls, and where each, each member and each arm is written."""
    inside: set[str] = set()
    places = {name: str(call.place) for name, call in calls.items() if call.place.line}
    for name, call in calls.items():
        ensemble = call.node.HasField("ensemble")
        output = call.node.ensemble.output if ensemble else ""
        for part in call.parts:
            step = part.step
            if step is None and isinstance(part.value, Symbol):
                reference = reference_of(part.value)
                step = _taken(reference, calls, output)
                if step is not None:
                    inside.add(reference.node)
                else:
                    step = _passed(reference, output)
                place = places.get(reference.node, places.get(name, ""))
                places[f"{name}.{'members' if ensemble else 'arms'}.{part.name}"] = place
            part.target.step.CopyFrom(step)
    return [call.node for name, call in calls.items() if name not in inside], {
        name: place for name, place in places.items() if name not in inside
    }


def _taken(reference: Reference, calls: Mapping[str, Any], output: str) -> graph_pb2.Step | None:
    call = calls.get(reference.node)
    if call is None or not call.node.HasField("step") or call.used or call.taken != 1:
        return None
    found: graph_pb2.Step = call.node.step
    return found if reference.output in ("", output) else None


def _passed(reference: Reference, output: str) -> graph_pb2.Step:
    step = graph_pb2.Step()
    setattr(step, "pass", True)
    step.inputs[(output or reference.output) if reference.output else ""] = str(reference)
    return step
