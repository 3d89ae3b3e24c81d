"""Models that are functions, called as the router calls real ones, on a clock moved by hand; and pipelines over them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, TypeVar

import numpy as np
from grpc import StatusCode

from inferloom.clients.metadata import TensorSpec
from inferloom.mesh.call import Call, Metadata, Reply
from inferloom.mesh.catalog import Model, Repeat, Replica
from inferloom.mesh.clock import ManualClock
from inferloom.mesh.errors import ReplicaError
from inferloom.mesh.oip import pb
from inferloom.mesh.policy import Retrying
from inferloom.mesh.resilience.budget import RetryBudget
from inferloom.mesh.router.live_split import LiveSplit
from inferloom.services.composer.check import Known, check
from inferloom.services.composer.checked import Checked, CheckedNode
from inferloom.services.composer.graph import graph_from
from inferloom.services.composer.node_model import Models
from inferloom.services.composer.node_route import Chooser
from inferloom.services.composer.pipeline import Pipeline
from inferloom.services.composer.plan import compiled
from inferloom.services.composer.pool import Pools
from inferloom.services.composer.runtime import Facts, Runtime
from inferloom.services.composer.splitting import ByShares, Mirroring, split_of
from inferloom.services.context import CallContext
from inferloom.services.declare.step import StepDeclaration
from inferloom.services.signature import Signature
from inferloom.services.tensor import Tensor, from_request, from_response, to_response
from inferloom.services.typed import tensor_types

Arrays = Mapping[str, np.ndarray[Any, Any]]
T = TypeVar("T")

X = TensorSpec("x", "FP32", (-1, 2))
Y = TensorSpec("y", "FP32", (-1, 2))


@dataclass
class FakeModel:
    """One model; `most` 0: it does not batch."""

    function: Callable[[Arrays], Arrays]
    inputs: tuple[TensorSpec, ...] = (X,)
    outputs: tuple[TensorSpec, ...] = (Y,)
    most: int = 8
    width: int = 1
    seconds: float = 0.0
    repeat: Repeat = Repeat.ANY


def doubled(arrays: Arrays) -> Arrays:
    return {"y": arrays["x"] * 2}


@dataclass
class Sent:
    """A call as a model got it."""

    model: str
    rows: int
    deadline: float
    metadata: Metadata
    parameters: dict[str, str]
    outcome: str = "running"


@dataclass
class FakeMesh:
    """The handler that stands for the router."""

    models: dict[str, FakeModel]
    clock: ManualClock = field(default_factory=ManualClock)
    sent: list[Sent] = field(default_factory=list)
    tokens: float = 100.0  # of each model's retry budget
    most_at_once: int = 0

    def __post_init__(self) -> None:
        self.groups: dict[str, Any] = {}
        self.splits: dict[str, LiveSplit] = {}  # by Route
        for name, fake in self.models.items():
            budget = RetryBudget(Retrying(budget_floor=self.tokens / 10), self.clock.now())
            model = Model(name, (Replica(name, "a", "10.0.0.1", 8001, versions=("1",), repeat=fake.repeat),))
            self.groups[name] = SimpleNamespace(budget=budget, model=model)
        self._running = 0

    async def __call__(self, call: Call) -> Reply:
        request = pb.ModelInferRequest.FromString(call.payload)
        tensors = from_request(request)
        parameters = {key: value.string_param for key, value in request.parameters.items()}
        rows = next(iter(tensors.values())).shape[0]
        sent = Sent(call.model, rows, call.deadline, call.metadata, parameters)
        self.sent.append(sent)
        fake = self.models[call.model]
        self._running += 1
        self.most_at_once = max(self.most_at_once, self._running)
        try:
            if fake.seconds:
                await self.clock.sleep(min(fake.seconds, call.deadline - self.clock.now()))
                if self.clock.now() >= call.deadline:
                    raise ReplicaError(StatusCode.DEADLINE_EXCEEDED, "Deadline Exceeded")
            found = fake.function({name: tensor.array for name, tensor in tensors.items()})
            sent.outcome = "done"
        except asyncio.CancelledError:
            sent.outcome = "cancelled"
            raise
        except ReplicaError:
            sent.outcome = "failed"
            raise
        finally:
            self._running -= 1
        wanted = [output.name for output in request.outputs] or list(found)
        answer = to_response([(name, Tensor.of(found[name])) for name in wanted], call.model, "1")
        return Reply(answer.SerializeToString())

    def facts(self, name: str) -> Facts:
        fake = self.models[name]
        return Facts(fake.most, fake.width)

    def signature(self, name: str, version: str) -> Signature | None:
        fake = self.models.get(name)
        return Signature(fake.inputs, fake.outputs, bool(fake.most)) if fake else None

    def runtime(self, steps: Mapping[str, StepDeclaration], batching: bool, mirroring: Mirroring) -> Runtime:
        models = Models(self, self.groups)

        def splitter(checked: Checked, node: CheckedNode) -> Chooser:
            live = self.splits[node.name] = LiveSplit(split_of("p." + node.name, node.node, None), 1, 0.0)
            called = {arm: [use.step.model] for arm, use in node.arms.items()}
            return ByShares(live, models, called, mirroring, None, self.clock, random.Random(1))

        return Runtime(models, steps, self.facts, Pools(self.clock), splitter, None, self.clock, batching)

    def known(self, steps: Mapping[str, StepDeclaration] = {}) -> Known:
        return Known(self.signature, lambda name: self.models[name].repeat, lambda: list(self.models), steps, {})

    def checked(self, spec: Mapping[str, Any], steps: Mapping[str, StepDeclaration] = {}) -> Checked:
        checked = check(graph_from(spec, "p"), self.known(steps))
        assert not checked.findings, [str(finding) for finding in checked.findings]
        return checked

    def pipeline(
        self,
        spec: Mapping[str, Any],
        steps: Sequence[StepDeclaration] = (),
        *,
        batching: bool = True,
        mirroring: Mirroring | None = None,
    ) -> Pipeline:
        declared = {step.reference: step for step in steps}
        checked = self.checked(spec, declared)
        plan = compiled(checked, self.runtime(declared, batching, mirroring or Mirroring()))
        return Pipeline(plan, tensor_types(checked.signature, "pipeline 'p'"), Repeat.ANY, self.clock)

    def context(self, seconds: float = 10.0, metadata: Metadata = ()) -> CallContext:
        return CallContext(self.clock.now() + seconds, metadata)

    async def ask(
        self,
        pipeline: Pipeline,
        seconds: float = 10.0,
        metadata: Metadata = (),
        parameters: Mapping[str, str] = {},
        **inputs: Any,
    ) -> Answer:
        request = pb.ModelInferRequest(model_name="p")
        for name, value in inputs.items():
            array = np.asarray(value)
            tensor = Tensor.of(array.astype(np.float32) if array.dtype.kind in "fi" else array)
            request.inputs.add(name=name, datatype=tensor.datatype, shape=tensor.shape)
            request.raw_input_contents.append(bytes(tensor.raw))
        for key, text in parameters.items():
            request.parameters[key].string_param = text
        response = await pipeline.infer(request, self.context(seconds, metadata))
        arrays = {name: tensor.array for name, tensor in from_response(response).items()}
        return Answer(arrays, {key: value.string_param for key, value in response.parameters.items()})

    async def run(self, *awaited: Any, seconds: float = 30.0) -> list[Any]:
        """Await all, moving the clock until they are done; errors are returned."""
        whole = asyncio.gather(*awaited, return_exceptions=True)
        for _ in range(20):
            await asyncio.sleep(0)
        passed = 0.0
        while not whole.done() and passed < seconds:
            await self.clock.advance(0.01)
            passed += 0.01
        assert whole.done(), "it hangs"
        return list(whole.result())


@dataclass
class Answer:
    outputs: dict[str, Any]
    notes: dict[str, str]


def step(name: str, model: str, **inputs: str) -> dict[str, Any]:
    return {"name": name, "step": {"model": model, "inputs": inputs}}


def graph(nodes: Sequence[Mapping[str, Any]], outputs: Mapping[str, str], **more: Any) -> dict[str, Any]:
    """A document with the input `x` FP32 [-1,2]."""
    inputs = [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]
    named = [{"name": name, "source": source} for name, source in outputs.items()]
    return {"inputs": inputs, "outputs": named, "nodes": list(nodes), **more}
