"""Pipelines checked against what a mesh serves, and what the file beside them declares."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from inferloom.cli.documents.signatures import Declared, ask_signatures
from inferloom.cli.documents.written import Written
from inferloom.cli.up.documents import APP, PIPELINE, SERVICE
from inferloom.cli.up.meshfile_hosted import functions
from inferloom.clients.aio import MeshClient
from inferloom.mesh.catalog import Catalog, Repeat
from inferloom.mesh.errors import InvalidInput, ModelNotFound, NoReplica, Unsupported
from inferloom.mesh.registry.base import DocumentKey, Spec
from inferloom.mesh.registry.remote import RemoteRegistry
from inferloom.services.composer.check import Known, check
from inferloom.services.composer.cycles import steps_of
from inferloom.services.composer.findings import Finding
from inferloom.services.composer.graph import graph_from
from inferloom.services.declare.step import StepDeclaration
from inferloom.services.signature import Signature
from inferloom.services.typed import tensor_types
from inferloom.v1 import graph_pb2

__all__ = ["check_pipelines", "findings_of"]

Callee = tuple[str, str]  # name, version
_NO_LINES: Mapping[str, Mapping[str, str]] = {}


async def findings_of(written: Written, registry: RemoteRegistry, token: str | None) -> list[str]:
    """Everything that is wrong with the pipelines of a file, a line each; empty where they can run.

    Raises:
        InvalidInput: a Python file that they name functions of does not import.
    """
    pipelines = {name: spec for (kind, name), spec in written.documents.items() if kind == PIPELINE}
    return await check_pipelines(
        pipelines, written.documents, written.sources, written.place, registry, token, written.lines
    )


async def check_pipelines(
    pipelines: Mapping[str, Spec],
    beside: Mapping[DocumentKey, Spec],
    sources: frozenset[Path],
    place: Callable[[DocumentKey, str], str],
    registry: RemoteRegistry,
    token: str | None,
    lines: Mapping[str, Mapping[str, str]] = _NO_LINES,
) -> list[str]:
    """As `findings_of`, for specs.

    Args:
        beside: documents that are to be written with them.
        sources: Python files that their functions are in; those that the mesh knows are looked for there as well.
        place: a document's key and a node's name -> "file:line".
        lines: of pipelines from Python, by name: "file:line" of their nodes.
    """
    if not pipelines:
        return []
    stored = await _stored(registry)
    graphs = {name: graph_from(spec, name) for name, spec in pipelines.items()}
    files = sources | {Path(spec["source"]) for (kind, _), spec in beside.items() if kind == APP}
    modules = {module.partition(".")[0] for spec in pipelines.values() for module in functions(dict(spec))}
    here = {file.stem for file in files}
    files |= {
        Path(str(spec["source"]))
        for (kind, name), spec in stored.items()
        if kind == APP and name in modules - here and Path(str(spec["source"])).is_file()
    }
    declared = await ask_signatures(sorted(files))
    others = {
        name: graph_from(spec, name) for (kind, name), spec in stored.items() if kind == PIPELINE and name not in graphs
    }
    callees = {callee for graph in graphs.values() for callee in _callees(graph)}
    served = await _served(sorted(callees), registry.address, token)
    checks = _Checks(graphs, others, declared, served, registry.catalog, frozenset(_names(beside)), lines)
    return [
        f"{finding.place or place((PIPELINE, name), finding.node)}: pipeline '{name}': {replace(finding, place='')}"
        for name in graphs
        for finding in checks.findings(name)
    ]


@dataclass
class _Checks:
    """One check per pipeline; pipelines of the same file know each other."""

    graphs: Mapping[str, graph_pb2.Graph]
    others: Mapping[str, graph_pb2.Graph]
    declared: Declared
    served: Mapping[Callee, Signature]
    catalog: Catalog
    names: frozenset[str]
    lines: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    done: dict[str, Any] = field(default_factory=dict)

    def findings(self, name: str) -> Sequence[Finding]:
        found: Sequence[Finding] = self._checked(name).findings
        return found

    def _checked(self, name: str) -> Any:
        if name not in self.done:
            self.done[name] = None  # while it is checked: a pipeline that calls itself is a finding of its own
            self.done[name] = check(self.graphs[name], self._known, self.lines.get(name, {}))
        return self.done[name]

    @property
    def _known(self) -> Known:
        steps = {reference: _step(reference, entry) for reference, entry in self.declared.steps.items()}
        names = {*self.catalog.models, *self.declared.services, *self.graphs, *self.names}
        return Known(self._signature, self._repeat, lambda: names, steps, {**self.others, **self.graphs})

    def _signature(self, name: str, version: str) -> Signature | None:
        if name in self.graphs and not version:
            checked = self._checked(name)
            if checked is not None:
                found: Signature = checked.signature
                return found
        if name in self.declared.services and not version:
            return self.declared.services[name]
        return self.served.get((name, version))

    def _repeat(self, name: str) -> Repeat:
        if name in self.declared.repeat:
            return self.declared.repeat[name]
        model = self.catalog.models.get(name)
        return model.repeat if model is not None else Repeat.ANY


def _step(reference: str, entry: Mapping[str, Any]) -> StepDeclaration:
    """A declaration whose function is in another process: only its types are looked at."""
    signature: Signature = entry["signature"]
    step = StepDeclaration(
        reference, _elsewhere, entry["name"], entry["rows"], entry["replicas"], entry["cpus"], False, entry["place"]
    )
    step.__dict__["types"] = tensor_types(signature, reference)  # where the cached property keeps what it has found
    return step


def _elsewhere(*_: Any, **__: Any) -> Any:
    raise InvalidInput("this function was declared in another process, and can only be checked here")


def _callees(graph: graph_pb2.Graph) -> set[Callee]:
    found: set[Callee] = set()
    for node in graph.nodes:
        for _, step in steps_of(node):
            if step.model:
                found |= {(step.model, step.version), (step.model, "")}
            if step.on_error.WhichOneof("does") == "model":
                found.add((step.on_error.model, ""))
        if node.ensemble.model:
            found.add((node.ensemble.model, ""))
    return found


async def _served(callees: Sequence[Callee], address: str, token: str | None) -> dict[Callee, Signature]:
    """What the mesh serves of these, as its servers tell it."""
    async with MeshClient(address, token=token) as client:

        async def ask(callee: Callee) -> Signature | None:
            try:
                return Signature.of(await client.metadata(callee[0], version=callee[1]))
            except (ModelNotFound, NoReplica, Unsupported):
                return None

        told = await asyncio.gather(*(ask(callee) for callee in callees))
    return {callee: signature for callee, signature in zip(callees, told, strict=True) if signature is not None}


async def _stored(registry: RemoteRegistry) -> Mapping[DocumentKey, Spec]:
    async for documents in registry.documents.watch():
        return {key: document.spec for key, document in documents.items() if document.spec is not None}
    return {}


def _names(documents: Mapping[DocumentKey, Spec]) -> list[str]:
    return [name for kind, name in documents if kind in (PIPELINE, SERVICE)]
