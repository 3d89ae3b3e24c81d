"""A graph that has been checked: every short form spelled out, every constant a tensor, every node's signature known.

The executor runs from this and never from the message, so nothing is looked up or guessed while a request waits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from inferloom.clients.metadata import TensorSpec
from inferloom.services.composer.findings import Finding
from inferloom.services.composer.references import Reference
from inferloom.services.signature import Signature
from inferloom.services.tensor import Tensor
from inferloom.v1 import graph_pb2

__all__ = ["Checked", "CheckedNode", "Use"]

_NOTHING = Signature((), ())


@dataclass(frozen=True, slots=True)
class Use:
    """A Step as it runs: a node's own, a member's or an arm's."""

    step: graph_pb2.Step
    callee: Signature  # of the model or function; of a pass: what it passes, without inputs
    inputs: Mapping[str, Reference]  # callee's input -> NODE.OUTPUT or input.NAME, both always named
    constants: Mapping[str, Tensor]  # callee's input -> its value; one row of it where the callee is row-wise
    timeout: float | None = None  # seconds; None: what is left
    fallback: Mapping[str, Tensor] | None = None  # on_error.value, all outputs; one row where the callee is row-wise

    @property
    def outputs(self) -> dict[str, TensorSpec]:
        return {spec.name: spec for spec in self.callee.outputs}

    @property
    def needs(self) -> frozenset[str]:
        """Names of nodes; `input` is not one."""
        return frozenset(reference.node for reference in self.inputs.values() if not reference.is_input)


@dataclass(frozen=True, slots=True)
class CheckedNode:
    """One of `step`, `members` and `arms` is set."""

    node: graph_pb2.Node
    outputs: Mapping[str, TensorSpec]
    rows: bool  # the first dimension of what it gives is the batch
    streams: bool = False
    step: Use | None = None
    members: Mapping[str, Use] = field(default_factory=dict)  # in the order written, which is that of ties
    arms: Mapping[str, Use] = field(default_factory=dict)
    combined: str = ""  # of an Ensemble: the members' output that is combined
    model_input: str = ""  # of an Ensemble with stack or function: the input that takes what is combined
    into: Use | None = None  # of an Ensemble with stack or function: what takes it; its `inputs` are empty
    rules: Mapping[str, Reference] = field(default_factory=dict)  # of a Route by rules: name -> reference
    decides: Reference | None = None  # of a Route by a step's output

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def needs(self) -> frozenset[str]:
        """Nodes that must have run before this one starts; those of an arm come when it is taken."""
        uses = [self.step] if self.step else list(self.members.values())
        found = {name for use in uses for name in use.needs}
        deciding = [*self.rules.values(), *([self.decides] if self.decides else [])]
        return frozenset(found | {reference.node for reference in deciding if not reference.is_input})

    @property
    def may_need(self) -> frozenset[str]:
        """`needs` and those of all arms: what the order of nodes is made of."""
        return self.needs | {name for use in self.arms.values() for name in use.needs}


@dataclass(frozen=True, slots=True)
class Checked:
    """Where `findings` is not empty the rest is what could be made out, and must not run."""

    graph: graph_pb2.Graph
    findings: tuple[Finding, ...]
    nodes: Mapping[str, CheckedNode] = field(default_factory=dict)  # in an order where needs come first
    outputs: Mapping[str, Reference] = field(default_factory=dict)
    signature: Signature = _NOTHING
    defaults: Mapping[str, Tensor] = field(default_factory=dict)  # of inputs that may be left out
    timeout: float | None = None  # seconds
