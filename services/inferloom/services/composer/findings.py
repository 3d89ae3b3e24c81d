"""What is wrong with a pipeline: one finding for each thing, said so that it can be put right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from inferloom.mesh.errors import InvalidInput

__all__ = ["Finding", "Findings"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`str` is the whole line: "node decode, inputs.png: ...; ... (app.py:12)"."""

    node: str  # "": the pipeline itself
    field: str  # path inside the node: "step.inputs.png"; "": the node as a whole
    text: str  # what is wrong, and what would be right
    place: str = ""  # "file:line" where it is written in Python

    def __str__(self) -> str:
        where = ", ".join(filter(None, (f"node {self.node}" if self.node else "", self.field)))
        return f"{where}: {self.text}" + (f" ({self.place})" if self.place else "") if where else self.text


@dataclass
class Findings:
    """Collects them while a graph is walked."""

    places: Mapping[str, str] = field(default_factory=dict)  # "file:line" as `trace.Traced` has them
    found: list[Finding] = field(default_factory=list)

    def add(self, node: str, path: str, text: str) -> None:
        part = ".".join((node, *path.split(".")[:2]))  # NODE.members.NAME has a line of its own
        finding = Finding(node, path, text, self.places.get(part) or self.places.get(node, ""))
        if finding not in self.found:
            self.found.append(finding)

    @contextmanager
    def catching(self, node: str, path: str) -> Iterator[None]:
        """An InvalidInput inside becomes a finding."""
        try:
            yield
        except InvalidInput as error:
            self.add(node, path, str(error))
