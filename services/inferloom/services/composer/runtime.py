"""What plans run with: the router, the Python steps, and what is known of the models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from inferloom.mesh.clock import SYSTEM, Clock
from inferloom.mesh.router.router import Router
from inferloom.services.composer.checked import Checked, CheckedNode
from inferloom.services.composer.node_batched import BatchedNode
from inferloom.services.composer.node_model import Models
from inferloom.services.composer.node_route import Chooser
from inferloom.services.composer.pool import Pools
from inferloom.services.declare.step import StepDeclaration

__all__ = ["Facts", "Runtime", "Unit"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What bounds the batches of a model."""

    most: int = 0  # max_batch_size; 0: it does not batch
    width: int = 1  # usable replicas times instances: batches it can work on at once
    stateful: bool = False  # sequences: requests are not alike


@dataclass(frozen=True, slots=True)
class Runtime:
    """The surroundings of a plan.

    Attributes:
        facts: of a model, as they are now.
        splitter: makes the chooser of a Route by shares.
        router: opens streams; None: there are none.
    """

    models: Models
    steps: Mapping[str, StepDeclaration]
    facts: Callable[[str], Facts]
    pools: Pools
    splitter: Callable[[Checked, CheckedNode], Chooser]
    router: Router | None = None
    clock: Clock = SYSTEM
    batching: bool = True

    @property
    def traced(self) -> bool:
        """Whether plans have spans."""
        return self.router is not None and self.router.tracing.on


@dataclass(frozen=True, slots=True)
class Unit:
    """What is batched together, and what bounds it."""

    node: BatchedNode
    models: tuple[str, ...]
    cpus: int  # of its Python steps, where it calls no model
    depth: int  # calls one after the other

    def refresh(self, runtime: Runtime) -> None:
        """Allow as many batches as the models behind can work on: each stage of the unit can be busy with another one.

        Stages that call the same model share its instances; there one more batch hides the way between two calls.
        """
        width = min((runtime.facts(model).width for model in self.models), default=self.cpus)
        stages = min(self.depth, len(self.models) + 1) if self.models else self.depth
        self.node.batcher.width = max(1, width)
        self.node.batcher.allowed = max(1, width) * max(1, stages)
