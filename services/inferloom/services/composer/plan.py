"""A checked graph, made ready to run: once for each version of a pipeline.

Every output that somebody uses has a slot, a place in a list of values. Nodes know the slots they read and write, and the
places of the nodes they need. What is row-wise has been put together in units (units.py), each with its batcher.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from inferloom.clients.metadata import TensorSpec
from inferloom.services.composer.build import Builder
from inferloom.services.composer.checked import Checked
from inferloom.services.composer.node_batched import BatchedNode
from inferloom.services.composer.node_step import Action
from inferloom.services.composer.node_stream import StreamStep
from inferloom.services.composer.run import Node, Segment
from inferloom.services.composer.runtime import Runtime, Unit
from inferloom.services.composer.units import depth, units_of
from inferloom.services.signature import Signature
from inferloom.services.tensor import Tensor

__all__ = ["Plan", "compiled"]


@dataclass(frozen=True, slots=True)
class Plan:
    """One version of a pipeline."""

    name: str
    signature: Signature
    inputs: tuple[tuple[TensorSpec, int, Tensor | None], ...]  # with its slot, and its value where it is left out
    outputs: tuple[tuple[str, int], ...]
    size: int  # slots
    segment: Segment
    units: tuple[Unit, ...]
    whole: BatchedNode | None = None  # the one unit that the pipeline is
    stream: StreamStep | None = None  # comes after all others
    timeout: float | None = None  # seconds
    models: frozenset[str] = field(default_factory=frozenset)
    actions: tuple[Action, ...] = ()  # of nodes, members and arms

    @property
    def most(self) -> int:
        """Rows of a request; 0: it is not row-wise as a whole."""
        return self.whole.most if self.whole is not None else 0

    def refresh(self, runtime: Runtime) -> None:
        for unit in self.units:
            unit.refresh(runtime)

    async def close(self) -> None:
        for unit in self.units:
            await unit.node.batcher.close()


def compiled(checked: Checked, runtime: Runtime) -> Plan:
    """The plan of a graph without findings."""
    builder = Builder(checked, runtime)
    nodes = checked.nodes
    order = [name for name in nodes if not nodes[name].streams]
    stream = next((node for node in nodes.values() if node.streams), None)
    outputs = {name: ref for name, ref in checked.outputs.items() if stream is None or ref.node != stream.name}
    wanted = [ref.node for ref in outputs.values() if not ref.is_input]
    if stream is not None:
        wanted += sorted(stream.needs)
    groups, batched = _grouped(order, builder, wanted)
    builder.batches.update(name for name in order if batched[name])
    place = {name: number for number, group in enumerate(groups) for name in group}
    made: list[Node] = []
    for group in groups:
        if batched[group[0]]:
            made.append(_unit(group, builder, place))
        else:
            made.append(builder.node(nodes[group[0]], place))
    targets = sorted({place[name] for name in wanted})
    segment = Segment(made, targets, _shared(groups, builder, place, targets))
    whole = made[0] if len(made) == 1 and isinstance(made[0], BatchedNode) else None
    plan = Plan(
        name=checked.graph.name,
        signature=checked.signature,
        inputs=tuple(
            (spec, builder.slot("input", spec.name), checked.defaults.get(spec.name))
            for spec in checked.signature.inputs
        ),
        outputs=tuple((name, builder.slot(*ref)) for name, ref in outputs.items()),
        size=builder.size,
        segment=segment,
        units=tuple(builder.units),
        whole=whole,
        stream=builder.stream(stream) if stream is not None else None,
        timeout=checked.timeout,
        models=frozenset(builder.models),
        actions=tuple(builder.actions),
    )
    plan.refresh(runtime)
    return plan


def _grouped(order: Sequence[str], builder: Builder, wanted: Iterable[str]) -> tuple[list[list[str]], dict[str, bool]]:
    """Units, in an order in which each comes after those it needs; and which nodes are batched."""
    batched = {name: builder.row_wise.node(name) for name in order}
    ports = {name: builder.ports(name) for name in order}
    while True:
        groups = units_of(order, batched, ports, wanted)
        unequal = {name for group in groups for name in group if batched[name] and _unequal(name, group, ports)}
        if not unequal:
            return _sorted(groups, builder), batched
        batched.update(dict.fromkeys(unequal, False))


def _unequal(name: str, group: Sequence[str], ports: dict[str, dict[str, frozenset[str]]]) -> bool:
    """Whether its members need different nodes outside of the unit: one of them may fail, and only that member with it."""

    def outside(needed: frozenset[str]) -> frozenset[str]:
        found = needed - set(group)
        return found.union(*(outside(part) for each in needed & set(group) for part in ports[each].values()))

    return len({outside(needed) for needed in ports[name].values()}) > 1


def _sorted(groups: list[list[str]], builder: Builder) -> list[list[str]]:
    place = {name: number for number, group in enumerate(groups) for name in group}
    done: dict[int, None] = {}

    def visit(number: int) -> None:
        if number in done:
            return
        for name in groups[number]:
            for needed in sorted(builder.may_need(name)):
                if place[needed] != number:
                    visit(place[needed])
        done[number] = None

    for number in range(len(groups)):
        visit(number)
    return [groups[number] for number in done]


def _unit(group: Sequence[str], builder: Builder, place: dict[str, int]) -> BatchedNode:
    """A unit as a node of the graph around it."""
    checked, inside = builder.checked, set(group)
    local = {name: number for number, name in enumerate(group)}
    nodes = [builder.node(checked.nodes[name], local) for name in group]
    used = {each for name in group for each in builder.may_need(name)}
    targets = [local[name] for name in group if name not in used or builder.used_outside(name, inside)]
    segment = Segment(nodes, targets, _shared([[name] for name in group], builder, local, targets))
    needs = {place[each] for name in group for each in builder.may_need(name) - inside}
    longest = depth(group, {name: builder.may_need(name) for name in group}, {n: builder.stages(n) for n in group})
    name = "+".join(group)
    return builder.batched(name, segment, tuple(sorted(needs)), group, longest)


def _shared(
    groups: Sequence[Sequence[str]], builder: Builder, place: dict[str, int], targets: Sequence[int]
) -> list[bool]:
    """For each place whether more than one may ask for it: members and arms each for themselves."""
    askers: list[int] = [0] * len(groups)
    for target in targets:
        askers[target] += 1
    for number, group in enumerate(groups):
        if len(group) > 1:
            asked = [{place[e] for name in group for e in builder.may_need(name) if e in place} - {number}]
        else:
            asked = builder.asked(group[0], place)
        for places in asked:
            for each in places:
                askers[each] += 1
    return [count > 1 for count in askers]
