"""A pipeline right here, without a mesh: for tests, scripts and notebooks.

It is traced, checked and compiled as a composer does it; what it calls is answered by functions that stand for models, and
by a mesh where none does. Nothing is batched, and each step is tried once.
"""

from __future__ import annotations

import asyncio
import inspect
import random
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from grpc import StatusCode

from inferloom.clients.result import InferResult
from inferloom.mesh.call import Call, Reply
from inferloom.mesh.catalog import Repeat
from inferloom.mesh.clock import SYSTEM
from inferloom.mesh.errors import ConfigError, InferloomError, InvalidInput, ModelNotFound, ReplicaError
from inferloom.mesh.oip import pb
from inferloom.mesh.router.live_split import LiveSplit
from inferloom.services.caller import the_caller
from inferloom.services.composer.assumed import Assumed
from inferloom.services.composer.check import Known, check
from inferloom.services.composer.checked import Checked, CheckedNode
from inferloom.services.composer.cycles import models_of, steps_of
from inferloom.services.composer.graph import graph_from, spec_of
from inferloom.services.composer.node_model import Models
from inferloom.services.composer.pipeline import Pipeline
from inferloom.services.composer.plan import compiled
from inferloom.services.composer.pool import Pools
from inferloom.services.composer.runtime import Facts, Runtime
from inferloom.services.composer.splitting import ByShares, Mirroring, split_of
from inferloom.services.composer.trace import traced
from inferloom.services.composer.traced_types import argument_types, is_open
from inferloom.services.context import current
from inferloom.services.declare.pipeline_declaration import PipelineDeclaration
from inferloom.services.declare.replacement import Replacement, replacement, result_of
from inferloom.services.declare.service import Service
from inferloom.services.declare.step import Step, StepDeclaration
from inferloom.services.signature import Signature
from inferloom.services.tensor import Tensor, from_request, from_response, to_response

if TYPE_CHECKING:
    from inferloom.services.typed import Types

__all__ = ["run_pipeline"]


async def run_pipeline(declaration: PipelineDeclaration, arguments: Mapping[str, Any]) -> Any:
    """What it answers: of `-> Outputs` an InferResult, else what its annotation says.

    Raises:
        ConfigError: it cannot run; a line for each finding.
        InferloomError: of a node, as in a mesh.
    """
    made = traced(declaration)
    graph = graph_from(spec_of(made.graph), declaration.name)
    callees = _Callees(declaration, models_of(graph))
    assumed = Assumed(graph)
    for output in graph.outputs:
        model = next((n.step.model for n in graph.nodes if n.name == output.source), "")
        if not output.name and model in callees.untyped:
            raise ConfigError(
                f"{declaration.place}: pipeline '{graph.name}' returns all outputs of '{model}', for which a function "
                f"stands that tells none: name them: Outputs(NAME={model}(...).NAME)"
            )
    versions = {(s.model, s.version) for n in graph.nodes for _, s in steps_of(n) if s.model}
    signatures = await callees.signatures(assumed, versions)
    steps = _steps(graph, declaration)
    known = Known(lambda name, version: signatures.get((name, version)), lambda name: Repeat.ANY, list, steps, {})
    checked = check(graph, known, made.places)
    if checked.findings:
        raise ConfigError("; ".join(f"pipeline '{graph.name}': {finding}" for finding in checked.findings))
    if any(node.streams for node in checked.nodes.values()):
        raise ConfigError(f"{declaration.place}: pipeline '{graph.name}' streams; run_local answers once")
    mirroring, pools = Mirroring(), Pools(SYSTEM)
    models = Models(callees.call, {})
    runtime = Runtime(models, steps, lambda name: Facts(), pools, _splitter(models, mirroring), batching=False)
    types = argument_types(declaration.function, f"pipeline '{graph.name}'")
    pipeline = Pipeline(compiled(checked, runtime), types, Repeat.ANY, SYSTEM)
    request = pb.ModelInferRequest(model_name=graph.name)
    for name, tensor in types.tensors_of(arguments).items():
        request.inputs.add(name=name, datatype=tensor.datatype, shape=tensor.shape)
        request.raw_input_contents.append(bytes(tensor.raw))
    context = current.get()
    assert context is not None
    try:
        response = await pipeline.infer(request, context)
    finally:
        await mirroring.close()
        await pipeline.plan.close()
        pools.close()
    return InferResult(response) if is_open(declaration.function) else types.value_of(from_response(response))


class _Callees:
    """What a pipeline calls: functions, with the types of a declared service where one of that name is in sight."""

    def __init__(self, declaration: PipelineDeclaration, names: list[str]) -> None:
        self._names = names
        self._types: dict[str, Types] = {}
        self._functions: dict[str, Replacement] = {}
        for name, types, function in _declared(declaration):
            self._types[name] = types()
            if function is not None and name in names:
                self._functions[name] = Replacement(name, function)
        self._functions.update({name: stands for name in names if (stands := replacement(name)) is not None})

    @property
    def untyped(self) -> set[str]:
        """Functions that stand for models."""
        return self._functions.keys() - self._types.keys()

    async def signatures(self, assumed: Assumed, versions: set[tuple[str, str]]) -> dict[tuple[str, str], Signature]:
        found = {}
        for name, version in sorted(versions | {(name, "") for name in self._names}):
            stands, types = self._functions.get(name), self._types.get(name)
            if stands is None:
                try:
                    found[name, version] = Signature.of(await the_caller().metadata(name, version))
                except ModelNotFound:
                    continue  # a finding says so
            else:
                found[name, version] = types.signature if types else assumed.signature(name, stands.function)
        return found

    async def call(self, call: Call) -> Reply:
        """As the router does it."""
        request = pb.ModelInferRequest.FromString(call.payload)
        tensors = from_request(request)
        wanted = [output.name for output in request.outputs]
        stands, types = self._functions.get(call.model), self._types.get(call.model)
        if stands is None:
            given = {name: tensor.array for name, tensor in tensors.items()}
            answer = await the_caller().infer(
                call.model, given, version=call.version, timeout=call.deadline - SYSTEM.now(), outputs=wanted
            )
            found = {name: Tensor.of(array, answer.datatypes[name], name) for name, array in answer.items()}
        elif types is not None:
            found = dict(types.result(await _answer(stands, types.arguments(tensors))))
        else:
            result = result_of(await _answer(stands, {n: t.array for n, t in tensors.items()}), call.model)
            found = {name: Tensor.of(array, result.datatypes[name], name) for name, array in result.items()}
        chosen = [(name, found[_meant(name, found, call.model)]) for name in wanted] if wanted else [*found.items()]
        return Reply(to_response(chosen, call.model, call.version or "1").SerializeToString())


async def _answer(stands: Replacement, inputs: Mapping[str, Any]) -> Any:
    try:
        return await stands((), inputs)
    except InferloomError:
        raise
    except Exception as error:  # as the code of a service that raises
        raise ReplicaError(StatusCode.UNKNOWN, f"{type(error).__name__}: {error}") from error


def _meant(name: str, found: Mapping[str, Tensor], model: str) -> str:
    if name in found:
        return name
    if not name and len(found) == 1:
        return next(iter(found))
    if not name and "label" in found:  # what is voted on
        return "label"
    what = f"its output '{name}' is used" if name else "it is not said which is used"
    raise InvalidInput(f"what stands for '{model}' gives {', '.join(found) or 'nothing'}, and {what}")


def _declared(
    declaration: PipelineDeclaration,
) -> Iterator[tuple[str, Callable[[], Types], Callable[..., Awaitable[Any]] | None]]:
    """Services, hosted steps and pipelines that the function can see: name, types, and of a step what runs here."""
    seen = inspect.getclosurevars(declaration.function)
    for value in [*declaration.function.__globals__.values(), *seen.nonlocals.values()]:
        if isinstance(value, Service):
            service = value.declaration
            for method in service.methods:
                yield service.catalog_name(method), lambda s=service, m=method: s.types(m), None  # type: ignore[misc]
        elif isinstance(value, Step) and value.declaration.replicas:
            step = value.declaration
            yield step.name, lambda s=step: s.types, step.function if step.is_async else _threaded(step)  # type: ignore[misc]


def _threaded(step: StepDeclaration) -> Callable[..., Awaitable[Any]]:
    async def call(**inputs: Any) -> Any:
        return await asyncio.to_thread(step.function, **inputs)

    return call


def _steps(graph: Any, declaration: PipelineDeclaration) -> dict[str, StepDeclaration]:
    """The functions it names; all in threads of this process."""
    named = [step.function for node in graph.nodes for _, step in steps_of(node)]
    named += [node.ensemble.function for node in graph.nodes]
    found = {}
    for reference in filter(None, named):
        module, _, name = reference.partition(":")
        value = getattr(sys.modules.get(module), name, None) or declaration.function.__globals__.get(name)
        if isinstance(value, Step):
            found[reference] = replace(value.declaration, cpus=0)
    return found


def _splitter(models: Models, mirroring: Mirroring) -> Callable[[Checked, CheckedNode], ByShares]:
    rng = random.Random()

    def chooser(checked: Checked, node: CheckedNode) -> ByShares:
        split = split_of(f"{checked.graph.name}.{node.name}", node.node, None)
        called = {arm: [use.step.model] for arm, use in node.arms.items() if use.step.model}
        return ByShares(LiveSplit(split, 1, SYSTEM.wall()), models, called, mirroring, None, SYSTEM, rng)

    return chooser
