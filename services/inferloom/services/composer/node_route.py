"""Sends a request to one of several arms; nothing under the others runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from inferloom.mesh.errors import InvalidInput
from inferloom.services.composer.rules import Rules, text_of
from inferloom.services.composer.run import Frame, Node
from inferloom.services.composer.status import at
from inferloom.services.tensor import Tensor

__all__ = ["ByOutput", "ByRules", "Chooser", "RouteArm", "RouteNode"]


class RouteArm(NamedTuple):
    """An arm; `needs` are the nodes its inputs come from."""

    name: str
    node: Node
    slots: tuple[tuple[str, int], ...]  # output and where its node puts it
    needs: tuple[int, ...]


class Chooser(Protocol):
    """Says which arm; "": none, so that the route is skipped."""

    async def run(self, route: RouteNode, frame: Frame) -> str: ...


class RouteNode:
    """A node that is a Route.

    Args:
        needs: the nodes that decide.
        chooser: runs the arm (a split also counts, records and mirrors).
        outputs: name and slot of those that somebody wants.
    """

    def __init__(
        self,
        name: str,
        where: str,
        needs: tuple[int, ...],
        arms: Mapping[str, RouteArm],
        chooser: Chooser,
        outputs: tuple[tuple[str, int], ...],
    ) -> None:
        self.name = name
        self.where = where
        self.needs = needs
        self.arms = dict(arms)
        self._chooser = chooser
        self._outputs = outputs

    async def run(self, frame: Frame) -> None:
        taken = await self._chooser.run(self, frame)
        if not taken:
            return
        frame.notes[f"{self.name}.arm"] = taken
        slots = dict(self.arms[taken].slots)
        for name, slot in self._outputs:
            frame.values[slot] = frame.values[slots[name]]

    async def take(self, name: str, frame: Frame) -> None:
        """Run an arm and what it needs."""
        arm = self.arms[name]
        if arm.needs:
            await frame.need(arm.needs)
        await arm.node.run(frame)


class ByRules:
    """The first arm whose condition holds.

    Args:
        inputs: names in the conditions and the slots of their values.
    """

    def __init__(self, rules: Rules, inputs: Mapping[str, int], default: str) -> None:
        self._rules = rules
        self._inputs = dict(inputs)
        self._default = default

    async def run(self, route: RouteNode, frame: Frame) -> str:
        inputs: dict[str, Tensor] = {}
        for name, slot in self._inputs.items():
            value = frame.values[slot]
            if value is not None:  # a condition over one that was skipped does not hold
                inputs[name] = value
        try:
            arm = self._rules.choose(frame.metadata, inputs) or self._default
        except InvalidInput as error:
            raise at(error, route.where) from error
        if not arm:
            raise InvalidInput(f"{route.where}: none of its rules holds, and it has no default")
        await route.take(arm, frame)
        return arm


class ByOutput:
    """The arm that a value names."""

    def __init__(self, slot: int, default: str) -> None:
        self._slot = slot
        self._default = default

    async def run(self, route: RouteNode, frame: Frame) -> str:
        value = frame.values[self._slot]
        if value is None:
            return ""
        try:
            named = text_of(value)
        except InvalidInput as error:
            raise at(error, route.where) from error
        arm = named if named in route.arms else self._default
        if not arm:
            known = ", ".join(route.arms)
            raise InvalidInput(f"{route.where}: its value names the arm {named!r}; there are {known}, and no default")
        await route.take(arm, frame)
        return arm
