"""The composer: follows the documents of pipelines, checks and compiles them, and keeps the last good one of each.

A document is looked at anew when it, the Python steps or the models it names have changed: so a pipeline that waits for a
model is served as soon as the model is there, and one whose model goes away keeps serving and says what it lacks.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from google.protobuf.json_format import ParseError
from prometheus_client.core import Metric

from inferloom.mesh.catalog import Repeat
from inferloom.mesh.clock import SYSTEM, Clock, seeded
from inferloom.mesh.errors import InferloomError, InvalidInput
from inferloom.mesh.registry.base import Document, DocumentKey, Registry
from inferloom.mesh.router.router import Router
from inferloom.services.answerer import Answerer
from inferloom.services.composer.check import Known, check
from inferloom.services.composer.checked import Checked
from inferloom.services.composer.cycles import steps_of
from inferloom.services.composer.flow import Flow, edges_of
from inferloom.services.composer.graph import graph_from
from inferloom.services.composer.learnt import Learnt
from inferloom.services.composer.node_model import Models
from inferloom.services.composer.origin import declaration_of, places_of
from inferloom.services.composer.pipeline import Pipeline
from inferloom.services.composer.pipeline_metrics import pipeline_metrics
from inferloom.services.composer.plan import compiled
from inferloom.services.composer.pool import Pools
from inferloom.services.composer.route_splits import RouteSplits
from inferloom.services.composer.runtime import Facts, Runtime
from inferloom.services.composer.traced_types import types_for
from inferloom.services.declare.step import StepDeclaration
from inferloom.services.signature import Signature
from inferloom.services.typed import Types, tensor_types
from inferloom.v1 import explain_pb2, graph_pb2

__all__ = ["KIND", "Composer"]

log = structlog.get_logger(__name__)

KIND = "pipeline"
FIRST = 5.0  # seconds that a start waits for the first documents
AGAIN = 2.0  # seconds until what could not be asked is asked again


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a document was judged by: looked at again when any of it is another."""

    version: int
    steps: tuple[Any, ...]
    models: tuple[Any, ...]


class Composer:
    """Runs the pipelines of a mesh.

    Args:
        registry: where the documents and the catalog are; started by its owner.
        router: embedded; what the pipelines call goes through it, without a hop of its own.
        steps: the functions that graphs may name, as they are now. Call `look` when they have changed.
        changed: called when answerers or problems are others.

    Attributes:
        problems: why the newest document of a pipeline is not served, or what one that is served lacks.
    """

    def __init__(
        self,
        registry: Registry,
        router: Router,
        steps: Callable[[], Mapping[str, StepDeclaration]],
        *,
        changed: Callable[[], None] = lambda: None,
        clock: Clock = SYSTEM,
        rng: random.Random | None = None,
        batching: bool = True,
    ) -> None:
        self.problems: dict[str, str] = {}
        self._registry = registry
        self._router = router
        self._steps = steps
        self._changed = changed
        self._clock = clock
        self._batching = batching
        self._learnt = Learnt(router)
        self._models = Models(router.handle, router.pool.groups, router.splitting.splits)
        self._pools = Pools(clock)
        self._routes = RouteSplits(router, registry.documents, self._models, clock, rng or seeded())
        self._documents: Mapping[DocumentKey, Document] = {}
        self._live: dict[str, Pipeline] = {}
        self._versions: dict[str, int] = {}  # of the documents that are served
        self._graphs: dict[str, graph_pb2.Graph] = {}
        self._seen: dict[str, _Seen] = {}
        self._compiled_steps: tuple[StepDeclaration, ...] = tuple(steps().values())
        self._heard = False  # of any documents
        self._judged: dict[str, tuple[Any, ...]] = {}  # what the plan that is served was made of
        self._dirty = asyncio.Event()
        self._first = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def answerers(self) -> Mapping[str, Answerer]:
        """The pipelines that are served, by name."""
        if tuple(self._steps().values()) != self._compiled_steps:
            self._dirty.set()  # the host asks when it has swapped its code
        return dict(self._live)

    def collect(self) -> Iterable[Metric]:
        """Metrics of the pipelines that are served."""
        return pipeline_metrics(pipeline.plan for pipeline in tuple(self._live.values()))

    def figures(self) -> list[explain_pb2.PipelineFigures]:
        """What has run through each pipeline that is served."""
        return [pipeline.flow.message(name) for name, pipeline in self._live.items()]

    async def start(self) -> None:
        """Begin to follow. Returns when the documents that are there have been looked at."""
        self._tasks = [
            asyncio.create_task(self._follow_documents(), name="follow pipelines"),
            asyncio.create_task(self._follow_catalog(), name="follow catalog for pipelines"),
            asyncio.create_task(self._work(), name="composer"),
        ]
        try:
            await asyncio.wait_for(self._first.wait(), FIRST)
        except TimeoutError:
            log.warning("the pipelines are not known yet: they are served when their documents have come")

    def look(self) -> None:
        """Look at all documents again: the steps may have changed."""
        self._dirty.set()

    async def close(self) -> None:
        """Stop following; end what is under way and all processes."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._routes.close()
        for pipeline in self._live.values():
            await pipeline.plan.close()
        self._pools.close()

    async def _follow_documents(self) -> None:
        while True:
            try:
                async for documents in self._registry.documents.watch(KIND):
                    self._documents = documents
                    self._heard = True
                    self._dirty.set()
            except InferloomError as error:
                log.warning("pipelines not followed", error=str(error))
            await self._clock.sleep(AGAIN)

    async def _follow_catalog(self) -> None:
        async for _ in self._registry.watch():
            self._dirty.set()

    async def _work(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            await asyncio.sleep(0)  # the router hears of the same catalog in a task of its own
            asked = True
            try:
                asked = await self._apply()
            except Exception as error:  # those that are served must not freeze because of one that is odd
                log.error("pipelines not looked at", exc_info=error)
            if self._heard:
                self._first.set()
            if not asked:
                asyncio.get_running_loop().call_later(AGAIN, self._dirty.set)

    async def _apply(self) -> bool:
        """Look at every document that may be judged otherwise now. False: something could not be asked."""
        before = (dict(self._live), dict(self.problems))
        steps = tuple(self._steps().values())
        if steps != self._compiled_steps:
            self._compiled_steps = steps
            self._pools.forget()  # their processes hold the old code
        documents = {name: document for (_, name), document in self._documents.items() if document.spec is not None}
        for name in [name for name in self._seen if name not in documents]:
            for known in (self._live, self._versions, self._graphs, self._seen, self._judged, self.problems):
                known.pop(name, None)
            self._routes.forget(name)
        asked = True
        progress = True
        while progress:  # a pipeline that calls another one is judged once that one is there
            progress = False
            for name, document in documents.items():
                live = self._live.get(name)
                asked &= await self._look(name, document)
                progress |= self._live.get(name) is not live
        for pipeline in self._live.values():
            pipeline.plan.refresh(self._runtime())
        if before != (self._live, self.problems):
            self._changed()
        return asked

    async def _look(self, name: str, document: Document) -> bool:
        steps = self._steps()
        try:
            assert document.spec is not None
            graph = graph_from(document.spec, name)
        except (InvalidInput, ParseError) as error:
            self._refuse(name, document, str(error))
            self._seen[name] = _Seen(document.version, (), ())
            return True
        self._graphs[name] = graph
        keys = _called(graph)
        seen = _Seen(document.version, tuple(steps.values()), tuple(self._present(key[0]) for key in keys))
        if self._seen.get(name) == seen:
            return True
        why = await self._learnt.learn(key for key in keys if key[0] not in self._graphs)
        checked = check(graph, self._known(steps))
        if checked.findings:
            checked = check(graph, self._known(steps), places_of(graph))
            told = [str(finding) for finding in checked.findings]
            told += [f"model '{model}' cannot be asked: {text}" for model, text in why.items()]
            self._refuse(name, document, "; ".join(told))
        else:
            try:
                await self._serve(checked, document)
                self.problems.pop(name, None)
            except InferloomError as error:
                self._refuse(name, document, str(error))
        if not why:
            self._seen[name] = seen
        return not why

    async def _serve(self, checked: Checked, document: Document) -> None:
        name = document.name
        await self._routes.learn(checked, document)
        runtime = self._runtime()
        plan = compiled(checked, runtime)
        types, text = self._types(checked)
        repeat = self._repeat(plan.models)
        bounds = [(model, (facts := runtime.facts(model)).most, facts.stateful) for model in sorted(plan.models)]
        judged = (checked, repeat, bounds, tuple(runtime.steps.values()))
        if self._judged.get(name) == judged:
            return  # a replica came or went: what is served stays
        self._judged[name] = judged
        self._live[name] = Pipeline(
            plan, types, repeat, self._clock, checked.graph.description or text, self._flow(checked)
        )
        self._versions[name] = document.version
        log.info("pipeline served", pipeline=name, version=document.version)

    def _flow(self, checked: Checked) -> Flow:
        live = self._live.get(checked.graph.name)
        flow = live.flow if live is not None else Flow()
        flow.edges = edges_of(checked)
        return flow

    def _refuse(self, name: str, document: Document, why: str) -> None:
        kept = self._versions.get(name)
        if kept == document.version:
            problem = why  # it is served as it was, and says what it lacks
        else:
            problem = f"version {document.version} is not served: {why}"
            if kept is not None:
                problem += f" (version {kept} still is)"
        if self.problems.get(name) != problem:
            log.warning("pipeline has a problem", pipeline=name, problem=problem)
        self.problems[name] = problem

    def _present(self, name: str) -> Any:
        """What the judgement on a name rests on: the catalog's model, or the pipeline's signature."""
        if name in self._graphs:
            live = self._live.get(name)
            return live and live.signature
        group = self._router.pool.groups.get(name)
        return None if group is None else (_shape(group.model), group.model.ready)

    def _known(self, steps: Mapping[str, StepDeclaration]) -> Known:
        return Known(self._signature, self._repeat_of, self._names, steps, self._graphs)

    def _signature(self, name: str, version: str) -> Signature | None:
        if name in self._graphs:
            live = self._live.get(name)
            return live.signature if live is not None else None
        return self._learnt.signature(name, version)

    def _names(self) -> list[str]:
        return sorted({*self._router.pool.groups, *self._live})

    def _repeat_of(self, name: str) -> Repeat:
        if name in self._live:
            return self._live[name].repeat
        group = self._router.pool.groups.get(name)
        return Repeat.ANY if group is None else group.model.repeat

    def _repeat(self, names: frozenset[str]) -> Repeat:
        """The most careful of them."""
        said = {self._repeat_of(name) for name in names}
        return next((careful for careful in (Repeat.NEVER, Repeat.UNBEGUN) if careful in said), Repeat.ANY)

    def _runtime(self) -> Runtime:
        return Runtime(
            self._models,
            self._steps(),
            self._facts,
            self._pools,
            self._routes.chooser,
            self._router,
            self._clock,
            self._batching,
        )

    def _facts(self, name: str) -> Facts:
        live = self._live.get(name)
        return Facts(live.plan.most) if live is not None else self._learnt.facts(name)

    def _types(self, checked: Checked) -> tuple[Types, str]:
        """The types of the function it was traced from, where that is part of this process; else those of its tensors."""
        graph = checked.graph
        where = f"pipeline '{graph.name}'"
        declaration = declaration_of(graph)
        if declaration is not None:
            try:
                types = types_for(declaration.function, where, checked.signature)
                if types.signature.inputs == checked.signature.inputs:
                    return types, declaration.text
            except InferloomError as error:
                log.warning("JSON of the tensors: the function's types do not fit", pipeline=graph.name, why=str(error))
        return tensor_types(checked.signature, where), ""


def _called(graph: graph_pb2.Graph) -> list[tuple[str, str]]:
    """Names and versions that it calls."""
    found: dict[tuple[str, str], None] = {}
    for node in graph.nodes:
        for _, step in steps_of(node):
            if step.model:
                found[step.model, step.version] = None
                found[step.model, ""] = None
            if step.on_error.model:
                found[step.on_error.model, ""] = None
        if node.ensemble.model:
            found[node.ensemble.model, ""] = None
    return list(found)


def _shape(model: Any) -> tuple[Any, ...]:
    """What of a model's record a pipeline's check and plan rest on; who serves it may change at any time."""
    return (model.kind, model.repeat, model.versions, tuple(sorted({replica.generation for replica in model.replicas})))
