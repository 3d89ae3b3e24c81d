"""A host's records in the registry: what it serves, as replicas. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from inferloom.mesh.catalog import Kind, Repeat, Replica, State
from inferloom.services.answerer import Answerer
from inferloom.services.signature import Signature

__all__ = ["Generations", "records_of", "waiting"]


class Generations:
    """A replica's generation: grows where its inputs or outputs have changed, so that callers ask for them again.

    Args:
        first: of this process; above those of the processes before it.
    """

    def __init__(self, first: int) -> None:
        self._first = first
        self._known: dict[str, tuple[Signature, int]] = {}

    def of(self, answerer: Answerer) -> int:
        signature, generation = self._known.get(answerer.name, (answerer.signature, self._first))
        if signature != answerer.signature:
            generation += 1
        self._known[answerer.name] = answerer.signature, generation
        return generation


def records_of(
    base: Replica,
    answerers: Iterable[Answerer],
    generations: Generations,
    ports: Mapping[str, int],
    problems: Mapping[str, str],
) -> dict[str, Replica]:
    """Records by name.

    Args:
        base: what all of them share; `state` and the ports of the protocol among it.
        ports: of ASGI services.
        problems: by name, and "" for those of all services.
    """
    found: dict[str, Replica] = {}
    for answerer in answerers:
        name = answerer.name
        everywhere = problems.get("", "") if answerer.kind is Kind.SERVICE else ""
        found[name] = replace(
            base,
            model=name,
            versions=(answerer.version,),
            app_port=ports.get(name, 0),
            generation=generations.of(answerer),
            problem=problems.get(name, "") or everywhere,
            kind=answerer.kind,
            repeat=answerer.repeat,
        )
    return found


def waiting(base: Replica, name: str, kind: Kind, problem: str) -> Replica:
    """The record of something that cannot be served yet, and why."""
    return replace(base, model=name, state=State.STARTING, problem=problem, kind=kind, repeat=Repeat.NEVER)
