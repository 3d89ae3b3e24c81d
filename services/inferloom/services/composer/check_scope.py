"""What a check knows: the catalog, the steps, and of the graph what has been made out so far."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from inferloom.clients.metadata import TensorSpec
from inferloom.mesh.catalog import Repeat
from inferloom.mesh.errors import InvalidInput
from inferloom.services.composer.checked import CheckedNode
from inferloom.services.composer.findings import Findings
from inferloom.services.composer.graph import hint
from inferloom.services.composer.references import INPUT, Reference, seconds
from inferloom.services.signature import Signature
from inferloom.services.tensor import Tensor
from inferloom.v1 import graph_pb2

if TYPE_CHECKING:
    from inferloom.services.declare.step import StepDeclaration

__all__ = ["Known", "Scope", "Source", "compatible", "misfit", "same_datatype", "sizes"]


@dataclass(frozen=True, slots=True)
class Known:
    """All that a graph may name.

    Attributes:
        signature: of a model, service or pipeline, by name and version ("": any); None where there is none yet.
        repeat: whether it may be repeated; NEVER: it has effects.
        names: all in the catalog, for near matches.
        steps: by "module:name".
        graphs: all pipelines, this one's older version among them or not.
    """

    signature: Callable[[str, str], Signature | None]
    repeat: Callable[[str], Repeat]
    names: Callable[[], Iterable[str]]
    steps: Mapping[str, StepDeclaration]
    graphs: Mapping[str, graph_pb2.Graph]


@dataclass(frozen=True, slots=True)
class Source:
    """What a reference leads to; `spec` None: unknown, since something before it is wrong."""

    reference: Reference
    spec: TensorSpec | None
    rows: bool = False


@dataclass
class Scope:
    graph: graph_pb2.Graph
    known: Known
    findings: Findings
    inputs: dict[str, TensorSpec] = field(default_factory=dict)
    written: dict[str, graph_pb2.Node] = field(default_factory=dict)
    nodes: dict[str, CheckedNode] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)  # nodes whose outputs could not be made out
    lost: bool = False  # a reference leads nowhere: whoever it was meant for looks unused
    whole: float | None = None  # seconds that the pipeline may take
    defaults: dict[str, Tensor] = field(default_factory=dict)  # of inputs that may be left out

    def source(self, text: str, node: str, path: str) -> Source | None:
        """Where a reference leads; a finding and None where it leads nowhere."""
        found = self._source(text, node, path)
        self.lost = self.lost or found is None
        return found

    def _source(self, text: str, node: str, path: str) -> Source | None:
        try:
            reference = Reference.parse(text)
        except InvalidInput as error:
            self.findings.add(node, path, str(error))
            return None
        if reference.is_input:
            spec = self.inputs.get(reference.output)
            if spec is None:
                text = f"the pipeline has no input '{reference.output}'{hint(reference.output, self.inputs)}"
                self.findings.add(node, path, text)
                return None
            if not spec.datatype:  # there is no such datatype
                return Source(reference, None)
            return Source(reference, spec, rows=bool(spec.shape) and spec.shape[0] == -1)
        if reference.node not in self.written:
            names = [*self.written, INPUT]
            self.findings.add(node, path, f"'{reference.node}' is no node{hint(reference.node, names)}")
            return None
        found = self.nodes.get(reference.node)
        if found is None or reference.node in self.failed:
            return Source(reference, None)
        return self._output(reference, found, node, path)

    def signature(self, name: str, version: str, node: str, path: str) -> Signature | None:
        """Of a model; a finding and None where there is none."""
        found = self.known.signature(name, version)
        if found is None:
            there = bool(version) and self.known.signature(name, "") is not None
            what = f"'{name}' has no version {version}" if there else f"no model '{name}' in the catalog"
            cure = "; leave the version out, or deploy it" if there else hint(name, self.known.names())
            self.findings.add(node, path, what + cure)
        return found

    def may_miss(self, source: Source) -> bool:
        """Whether it is an input that a request may leave out, and nothing stands in for it."""
        return source.spec is not None and source.spec.optional and source.reference.output not in self.defaults

    def seconds(self, text: str, node: str, path: str) -> float | None:
        if not text:
            return None
        try:
            return seconds(text)
        except InvalidInput as error:
            self.findings.add(node, path, str(error))
            return None

    def _output(self, reference: Reference, found: CheckedNode, node: str, path: str) -> Source | None:
        if reference.output:
            spec = found.outputs.get(reference.output)
            if spec is None:
                text = f"{reference.node} has no output '{reference.output}'{hint(reference.output, found.outputs)}"
                self.findings.add(node, path, text)
                return None
            return Source(reference, spec, found.rows)
        if len(found.outputs) != 1:
            names = ", ".join(f"{reference.node}.{name}" for name in found.outputs)
            self.findings.add(node, path, f"{reference.node} has {len(found.outputs)} outputs; write one of {names}")
            return None
        [spec] = found.outputs.values()
        return Source(Reference(reference.node, spec.name), spec, found.rows)


def same_datatype(one: TensorSpec, other: TensorSpec) -> bool:
    """ "" is one that is not known (see assumed.py)."""
    return one.datatype == other.datatype or not (one.datatype and other.datatype)


def compatible(have: tuple[int, ...], want: tuple[int, ...]) -> bool:
    """Whether a tensor of the one shape may be given where the other is wanted; an empty shape is not told."""
    if not have or not want:
        return True
    if want == (1,):  # a single value may come as one of a batch
        return all(size in (1, -1) for size in have)
    return len(have) == len(want) and all(a == b or -1 in (a, b) for a, b in zip(have, want, strict=True))


def misfit(have: TensorSpec, want: TensorSpec, source: str, taker: str) -> str:
    """What does not fit and what would; "" where it fits."""
    told = f"{source} is {have.datatype} {sizes(have.shape)}; {taker} takes {want}"
    if not same_datatype(have, want):
        return f"{told}: make it {want.datatype} in a step between"
    if compatible(have.shape, want.shape):
        return ""
    if len(have.shape) + 1 == len(want.shape) and compatible(have.shape, want.shape[1:]):
        return f"{told}: the first size is the batch, so give it as {sizes((1, *have.shape))}"
    if len(have.shape) == len(want.shape) + 1 and compatible(have.shape[1:], want.shape):
        return f"{told}, without a batch dimension: give it as {sizes(have.shape[1:])}"
    return f"{told}: give it that shape in a step between"


def sizes(shape: tuple[int, ...]) -> str:
    return f"[{','.join(map(str, shape))}]" if shape else "of any shape"
