"""What is measured: two graphs with five kinds of stages, by two ways, at three loads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench.h2load import Load
from bench.repository import MEMBERS, WIDTH, WORKS, names

__all__ = ["GRAPHS", "KINDS", "LOADS", "ONE", "SERVICE", "WAYS", "Subject", "pipelines", "stages", "values"]

GRAPHS = {"three": sum(MEMBERS[:3]), "four": sum(MEMBERS) / len(MEMBERS)}  # graph -> what it adds to its input
KINDS = (*(str(work) for work in WORKS), "single")
ONE = Load("1", 1, 1)
LOADS = (ONE, Load("16", 4, 4), Load("64", 4, 16))
WAYS = ("host", "router")  # the host's own port; through `inferloom router`
SERVICE = "AddOne"

values = tuple(float(number) for number in range(WIDTH))


@dataclass(frozen=True, slots=True)
class Subject:
    """A name in the catalog, reached by a way ("direct": on Triton itself), and what it adds to its input."""

    name: str
    way: str
    adds: float

    def right(self, reply: tuple[float, ...]) -> bool:
        return reply == tuple(value + self.adds for value in values)


def pipelines(kinds: tuple[str, ...] = KINDS) -> Iterator[Subject]:
    for kind in kinds:
        for graph, adds in GRAPHS.items():
            for way in WAYS:
                yield Subject(f"{graph}-{kind}", way, adds)


def stages(kinds: tuple[str, ...] = KINDS) -> Iterator[Subject]:
    """The models themselves, as Triton answers them."""
    for kind in kinds:
        for name, adds in zip(names(kind), MEMBERS, strict=True):
            yield Subject(name, "direct", adds)
