"""Makes the nodes of a plan from a checked graph: who uses which slot, and what may be batched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from inferloom.services.composer.checked import Checked, CheckedNode, Use
from inferloom.services.composer.combine_answers import by_function, combiner
from inferloom.services.composer.node_batched import BatchedNode
from inferloom.services.composer.node_ensemble import Combine, EnsembleNode, Member
from inferloom.services.composer.node_model import ModelCallee, parameters_of
from inferloom.services.composer.node_route import ByOutput, ByRules, Chooser, RouteArm, RouteNode
from inferloom.services.composer.node_step import Action, Callee, Passing, StepNode, Wire
from inferloom.services.composer.node_stream import StreamStep
from inferloom.services.composer.references import Reference, seconds
from inferloom.services.composer.row_wise import RowWise
from inferloom.services.composer.rules import Rules
from inferloom.services.composer.run import Node, Segment
from inferloom.services.composer.runtime import Runtime, Unit
from inferloom.services.composer.steps import FunctionCallee
from inferloom.services.composer.traced import TracedNode, traced_combine

__all__ = ["Builder"]

_ALL = "*"  # slots of members and arms: never a node's name


class Builder:
    """Builds one plan."""

    def __init__(self, checked: Checked, runtime: Runtime) -> None:
        self.checked = checked
        self.runtime = runtime
        self.batches: set[str] = set()  # nodes that are part of a unit, as the plan has decided
        self.models: set[str] = set()
        self.units: list[Unit] = []
        self.actions: list[Action] = []
        self.row_wise = RowWise(checked, runtime)
        self.where = f"pipeline '{checked.graph.name}'"
        self._slots: dict[tuple[str, str], int] = {}
        self._used: dict[str, dict[str, None]] = {name: {} for name in checked.nodes}
        for reference in self._references():
            if not reference.is_input:
                self._used[reference.node][reference.output] = None

    @property
    def size(self) -> int:
        return len(self._slots)

    def slot(self, node: str, output: str) -> int:
        return self._slots.setdefault((node, output), len(self._slots))

    # Who needs whom

    def ports(self, name: str) -> dict[str, frozenset[str]]:
        """What the node itself, or each of its members or arms, needs."""
        node = self.checked.nodes[name]
        if node.members:
            return {member: use.needs for member, use in node.members.items()}
        found = {"": node.needs}
        return found | {f"arm {arm}": use.needs for arm, use in node.arms.items()}

    def may_need(self, name: str) -> frozenset[str]:
        return self.checked.nodes[name].may_need

    def asked(self, name: str, place: Mapping[str, int]) -> list[set[int]]:
        """The places it asks for: at once, and for each member or arm on its own."""
        ports = self.ports(name)
        common = frozenset.intersection(*ports.values()) if self.checked.nodes[name].members else ports.pop("")
        own = [needed - common for needed in ports.values()]
        return [{place[each] for each in needed if each in place} for needed in (common, *own)]

    def used_outside(self, name: str, inside: Iterable[str]) -> bool:
        """Whether the pipeline's outputs or other nodes use it."""
        inside = set(inside)
        if any(reference.node == name for reference in self.checked.outputs.values()):
            return True
        others = (node for node in self.checked.nodes.values() if node.name not in inside)
        return any(name in node.may_need for node in others)

    # Units

    def stages(self, name: str) -> int:
        """Calls one after the other."""
        node = self.checked.nodes[name]
        if node.step is not None:
            return 0 if node.step.step.WhichOneof("runs") == "pass" else 1
        return 2 if node.node.ensemble.combine in ("stack", "function") else 1

    def batched(
        self, name: str, segment: Segment, needs: tuple[int, ...], group: Sequence[str], depth: int
    ) -> BatchedNode:
        """A unit of these nodes."""
        inside = set(group)
        uses = [use for each in group for use in self._uses(self.checked.nodes[each])]
        extra = [self.checked.nodes[each].node.ensemble.model for each in group]
        outputs = [
            self.slot(each, output) for each in group for output in self._used[each] if self.used_outside(each, inside)
        ]
        return self._batched(name, segment, needs, uses, outputs, inside, [m for m in extra if m], depth)

    def _batched(
        self,
        name: str,
        segment: Segment,
        needs: tuple[int, ...],
        uses: Sequence[Use],
        outputs: Sequence[int],
        inside: set[str],
        extra: Sequence[str] = (),
        depth: int = 1,
    ) -> BatchedNode:
        models = dict.fromkeys(extra)
        cpus = 0
        inputs: dict[int, None] = {}
        for use in uses:
            for each in (use.step.model, use.step.on_error.model):
                if each:
                    models[each] = None
            if use.step.function:
                step = self.runtime.steps[use.step.function]
                cpus = max(cpus, 1) if not step.cpus else max(cpus, step.cpus)
            inputs.update({self.slot(*ref): None for ref in use.inputs.values() if ref.node not in inside})
        bounds = {model: self.runtime.facts(model).most for model in models}
        bound = min(bounds, key=lambda model: bounds[model], default="")
        names = tuple(models)
        node = BatchedNode(
            name,
            f"{self.where}, node '{name}'" if len(self.checked.nodes) > 1 else self.where,
            segment,
            needs,
            tuple(inputs),
            tuple(dict.fromkeys(outputs)),
            self.runtime.clock,
            most=bounds.get(bound, 0),
            bound=f"model '{bound}'",
            units=lambda: self.runtime.models.units(names),
        )
        self.units.append(Unit(node, names, cpus, depth))
        return node

    # Nodes

    def node(self, node: CheckedNode, place: Mapping[str, int]) -> Node:
        made: Node
        if node.step is not None:
            made = self._step(node.name, node.step, self._outputs(node), place)
        else:
            made = self._ensemble(node, place) if node.members else self._route(node, place)
        return self._traced("node", node.name, made, node.name)

    def _traced(self, kind: str, name: str, node: Node, note: str) -> Node:
        return TracedNode(kind, name, node, note) if self.runtime.traced else node

    def stream(self, node: CheckedNode) -> StreamStep:
        """The last step, where it streams."""
        use, router = node.step, self.runtime.router
        assert use is not None
        assert router is not None
        outputs = {ref.output: name for name, ref in self.checked.outputs.items() if ref.node == node.name}
        self.models.add(use.step.model)
        end = parameters_of(use.step.parameters)
        callee = ModelCallee(self.runtime.models, use.step.model, use.step.version, (), end)
        return StreamStep(router, callee, f"{self.where}, node '{node.name}'", self._wires(use), use.constants, outputs)

    def _wires(self, use: Use) -> tuple[Wire, ...]:
        optional = {spec.name: spec.optional for spec in use.callee.inputs}
        return tuple((name, self.slot(*ref), optional.get(name, False)) for name, ref in use.inputs.items())

    def action(self, name: str, use: Use, outputs: Iterable[str], place: Mapping[str, int]) -> Action:
        """A use as it runs. `name` is "node", or "node.member"."""
        step, runtime = use.step, self.runtime
        end = parameters_of(step.parameters)
        outputs = tuple(outputs)
        callee: Callee = Passing()
        if step.model:
            self.models.add(step.model)
            callee = ModelCallee(runtime.models, step.model, step.version, outputs, end)
        elif step.function:
            callee = FunctionCallee(runtime.steps[step.function], runtime.clock, runtime.pools)
        other = None
        if step.on_error.model:
            self.models.add(step.on_error.model)
            other = ModelCallee(runtime.models, step.on_error.model, "", outputs, end)
        action = Action(
            note=name,
            where=f"{self.where}, node '{name}'",
            callee=callee,
            wires=self._wires(use),
            clock=runtime.clock,
            constants=dict(use.constants),
            rows=use.callee.rows,
            timeout=float("inf") if use.timeout is None else use.timeout,
            attempts=step.attempts or 1,
            fallback=use.fallback,
            other=other,
            skip=step.on_error.skip,
            needs=tuple(sorted(place[each] for each in use.needs if each in place)),
        )
        self.actions.append(action)
        return action

    def _step(self, name: str, use: Use, outputs: tuple[tuple[str, int], ...], place: Mapping[str, int]) -> StepNode:
        return StepNode(name, self.action(name, use, [output for output, _ in outputs], place), outputs)

    def _part(self, name: str, use: Use, outputs: tuple[tuple[str, int], ...], parent: str) -> Node:
        """A member's or an arm's: batched by itself where the node it belongs to is not."""
        node = self._step(name, use, outputs, {})
        alone = use.step.WhichOneof("runs") != "pass" and self.runtime.batching and self.row_wise.use(use)
        if not alone or parent in self.batches:
            return node
        segment = Segment([node], [0], [False])
        return self._batched(name, segment, (), [use], [slot for _, slot in outputs], set())

    def _ensemble(self, node: CheckedNode, place: Mapping[str, int]) -> EnsembleNode:
        ensemble, where = node.node.ensemble, f"{self.where}, node '{node.name}'"
        uses = node.members
        common = frozenset.intersection(*(use.needs for use in uses.values()))
        weights = {member.name: member.weight or 1.0 for member in ensemble.members}
        members = []
        for name, use in uses.items():
            slot = self.slot(f"{_ALL}{node.name}.{name}", node.combined)
            note = f"{node.name}.{name}"
            part = self._traced("member", name, self._part(note, use, ((node.combined, slot),), node.name), note)
            own = tuple(sorted(place[each] for each in use.needs - common if each in place))
            members.append(Member(name, part, slot, weights[name], own))
        exact = ensemble.combine in ("concat", "stack")  # what takes it expects all of them
        combine = self._combine(node, where)
        quorum = len(members) if exact else ensemble.quorum or len(members)
        return EnsembleNode(
            node.name,
            where,
            tuple(sorted(place[each] for each in common if each in place)),
            members,
            traced_combine(ensemble.combine, combine) if self.runtime.traced else combine,
            self._outputs(node),
            self.runtime.clock,
            quorum=quorum,
            told=bool(ensemble.quorum),
            wait=seconds(ensemble.wait) if ensemble.wait else None,
        )

    def _combine(self, node: CheckedNode, where: str) -> Combine:
        ensemble = node.node.ensemble
        if ensemble.combine not in ("stack", "function"):
            return combiner(ensemble.combine, node.combined, where)
        slot = self.slot(f"{_ALL}{node.name}", node.model_input)
        assert node.into is not None
        use = replace(node.into, inputs={node.model_input: Reference(f"{_ALL}{node.name}", node.model_input)})
        action = self.action(node.name, use, self._used[node.name], {})
        return by_function(action, slot, where, side_by_side=ensemble.combine == "stack")

    def _route(self, node: CheckedNode, place: Mapping[str, int]) -> RouteNode:
        arms: dict[str, RouteArm] = {}
        for name, use in node.arms.items():
            slots = tuple((out, self.slot(f"{_ALL}{node.name}.{name}", out)) for out in self._used[node.name])
            note = f"{node.name}.{name}"
            part = self._traced("arm", name, self._part(note, use, slots, node.name), note)
            needs = tuple(sorted(place[each] for each in use.needs if each in place))
            arms[name] = RouteArm(name, part, slots, needs)
        deciding = tuple(sorted(place[each] for each in node.needs if each in place))
        where = f"{self.where}, node '{node.name}'"
        return RouteNode(node.name, where, deciding, arms, self._chooser(node), self._outputs(node))

    def _chooser(self, node: CheckedNode) -> Chooser:
        route = node.node.route
        if node.decides is not None:
            return ByOutput(self.slot(*node.decides), route.default)
        if route.WhichOneof("by") == "rules":
            inputs = {name: self.slot(*reference) for name, reference in node.rules.items()}
            return ByRules(Rules([(arm.name, arm.when) for arm in route.arms if arm.when]), inputs, route.default)
        return self.runtime.splitter(self.checked, node)

    def _outputs(self, node: CheckedNode) -> tuple[tuple[str, int], ...]:
        return tuple((output, self.slot(node.name, output)) for output in self._used[node.name])

    def _uses(self, node: CheckedNode) -> list[Use]:
        return [node.step] if node.step is not None else [*node.members.values(), *node.arms.values()]

    def _references(self) -> Iterable[Reference]:
        yield from self.checked.outputs.values()
        for node in self.checked.nodes.values():
            for use in self._uses(node):
                yield from use.inputs.values()
            yield from node.rules.values()
            if node.decides is not None:
                yield node.decides
