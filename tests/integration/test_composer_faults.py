"""Pipelines over real Tritons: members killed and hung, deadlines and cancellation inside the model, poisoned batches."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from grpc import StatusCode

from inferloom.mesh.catalog import Replica
from inferloom.mesh.clock import SYSTEM
from inferloom.mesh.errors import InferloomError, NoReplica
from inferloom.mesh.registry.memory import MemoryRegistry
from inferloom.mesh.router.router import Router
from inferloom.services.composer.composer import KIND, Composer
from inferloom.services.composer.pipeline import Pipeline
from inferloom.services.context import CallContext
from tests.support.caller import infer_request, read
from tests.support.router import Server, running_server
from tests.support.triton import Triton, running_triton, write_model

Pair = tuple[Server, Server]
LAG = 3.0  # seconds a cancellation may take to be written down on a busy machine

PICKY = """
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for request in requests:
            x = pb_utils.get_input_tensor_by_name(request, "x").as_numpy()
            bad = pb_utils.TritonError("a seven") if (x == 7).any() else None
            found = [] if bad else [pb_utils.Tensor("y", x * 2)]
            answers.append(pb_utils.InferenceResponse(found, error=bad))
        return answers
"""
CONFIG = """
max_batch_size: 16
input [{ name: "x" data_type: TYPE_FP32 dims: [1] }]
output [{ name: "y" data_type: TYPE_FP32 dims: [1] }]
instance_group [{ count: 1 kind: KIND_CPU }]
"""


class Composed:
    """A composer with a router and a registry of its own."""

    def __init__(self) -> None:
        self.registry = MemoryRegistry()
        self.router = Router(self.registry)
        self.changes = 0
        self.composer = Composer(self.registry, self.router, dict, changed=self._changed)

    def _changed(self) -> None:
        self.changes += 1

    async def serve(self, model: str, address: str, versions: tuple[str, ...] = ("1",)) -> Any:
        host, _, port = address.rpartition(":")
        return await self.registry.register(Replica(model, address, host, int(port), versions=versions))

    async def apply(self, name: str, spec: Mapping[str, Any]) -> None:
        await self.registry.documents.put(KIND, name, spec)

    async def until(self, holds: Callable[[], bool]) -> None:
        end = time.monotonic() + 10
        while not holds():
            assert time.monotonic() < end, (self.composer.problems, self.composer.answerers())
            await asyncio.sleep(0.01)

    def pipeline(self, name: str) -> Pipeline:
        found = self.composer.answerers()[name]
        assert isinstance(found, Pipeline)
        return found

    async def ask(self, name: str, seconds: float = 10.0, /, **inputs: Any) -> Any:
        return await self.pipeline(name).infer(infer_request(name, **inputs), CallContext(SYSTEM.now() + seconds))


@asynccontextmanager
async def composing(models: Mapping[str, str], specs: Mapping[str, Mapping[str, Any]]) -> AsyncIterator[Composed]:
    """`models`: name and address."""
    composed = Composed()
    for model, address in models.items():
        await composed.serve(model, address)
    for name, spec in specs.items():
        await composed.apply(name, spec)
    await composed.router.start()
    await composed.composer.start()
    try:
        yield composed
    finally:
        await composed.composer.close()
        await composed.router.close()


def step(model: str, *inputs: str) -> dict[str, Any]:
    return {"model": model, "inputs": {name: f"input.{name}" for name in inputs}}


def spec(inputs: Mapping[str, tuple[str, int]], output: str, *nodes: Mapping[str, Any]) -> dict[str, Any]:
    listed = [{"name": n, "datatype": kind, "shape": [-1, size]} for n, (kind, size) in inputs.items()]
    return {"inputs": listed, "outputs": [{"name": "out", "source": output}], "nodes": list(nodes)}


def votes(**more: Any) -> dict[str, Any]:
    members = [{"name": name, "step": step(name, "x")} for name in ("echo", "versioned")]
    ensemble = {"combine": "mean", "output": "y", "members": members, **more}
    return spec({"x": ("FP32", -1)}, "e.y", {"name": "e", "ensemble": ensemble})


SLOW = spec(
    {"seconds": ("FP32", 1), "key": ("INT32", 1)}, "s.key", {"name": "s", "step": step("slow", "seconds", "key")}
)


def notes(answer: Any) -> dict[str, str]:
    return {key: value.string_param for key, value in answer.parameters.items()}


def slow(seconds: float, key: int) -> dict[str, Any]:
    return {"seconds": np.array([[seconds]], np.float32), "key": np.array([[key]], np.int32)}


async def until_logged(server: Server, what: str, key: int) -> None:
    end = time.monotonic() + LAG
    while key not in server.log().keys(what):
        assert time.monotonic() < end, f"{what} {key} is not in {server.log()}"
        await asyncio.sleep(0.01)


@pytest.fixture
def member(tmp_path: Path) -> Iterator[Server]:
    with running_server(tmp_path / "member", ("versioned",)) as server:
        yield server


async def test_an_ensemble_survives_a_member_that_is_hung_and_then_killed(pair: Pair, member: Server) -> None:
    models = {"echo": pair[0].address, "versioned": member.address}
    specs = {"some": votes(quorum=1, wait="200ms"), "all": votes(quorum=2)}
    async with composing(models, specs) as composed:
        answer = await composed.ask("some", x=[[1.0, 2.0]])
        assert notes(answer) == {"e.answered": "echo,versioned"}
        member.freeze()
        began = time.monotonic()
        answer = await composed.ask("some", x=[[1.0, 2.0]])
        assert notes(answer) == {"e.answered": "echo", "e.late": "versioned"}
        assert read(answer) == [1.0, 2.0]
        assert 0.19 < time.monotonic() - began < 0.5
        member.kill()
        await asyncio.sleep(0.2)
        answer = await composed.ask("some", x=[[1.0, 2.0]])
        assert notes(answer) == {"e.answered": "echo", "e.failed": "versioned"}
        with pytest.raises(NoReplica, match=r"no quorum of 2 of 2 members: .*failed versioned") as raised:
            await composed.ask("all", x=[[1.0, 2.0]])
        assert raised.value.code is StatusCode.UNAVAILABLE


async def test_a_caller_who_goes_away_cancels_the_work_inside_the_model(pair: Pair) -> None:
    async with composing({"slow": pair[0].address}, {"slow-pipe": SLOW}) as composed:
        asked = asyncio.ensure_future(composed.ask("slow-pipe", **slow(5.0, 7001)))
        await until_logged(pair[0], "ran", 7001)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        await until_logged(pair[0], "cancelled", 7001)


async def test_a_deadline_ends_the_work_inside_the_model(pair: Pair) -> None:
    async with composing({"slow": pair[0].address}, {"slow-pipe": SLOW}) as composed:
        began = time.monotonic()
        with pytest.raises(InferloomError) as raised:
            await composed.ask("slow-pipe", 0.4, **slow(5.0, 7002))
        assert raised.value.code is StatusCode.DEADLINE_EXCEEDED
        assert 0.3 < time.monotonic() - began < 0.7
        await until_logged(pair[0], "cancelled", 7002)


async def test_in_a_batch_one_callers_deadline_does_not_end_the_work_for_the_other(pair: Pair) -> None:
    async with composing({"slow": pair[0].address}, {"slow-pipe": SLOW}) as composed:
        first = asyncio.ensure_future(composed.ask("slow-pipe", **slow(0.3, 7010)))
        await until_logged(pair[0], "ran", 7010)
        hasty = asyncio.ensure_future(composed.ask("slow-pipe", 0.6, **slow(1.0, 7011)))
        patient = asyncio.ensure_future(composed.ask("slow-pipe", 9.0, **slow(1.0, 7012)))
        await asyncio.gather(first, hasty, patient, return_exceptions=True)
        assert isinstance(hasty.exception(), InferloomError)
        assert read(patient.result()) == [7012]


@pytest.fixture
def picky(tmp_path: Path) -> Iterator[Triton]:
    write_model(tmp_path / "models", "picky", CONFIG, PICKY)
    with running_triton(tmp_path / "models", tmp_path / "triton.log") as triton:
        yield triton


async def test_one_bad_row_fails_its_own_caller_only(picky: Triton) -> None:
    pipe = spec(
        {"x": ("FP32", 1)},
        "b.y",
        {"name": "a", "step": step("picky", "x")},
        {"name": "b", "step": {"model": "picky", "inputs": {"x": "a.y"}}},
    )
    async with composing({"picky": picky.grpc}, {"twice": pipe}) as composed:
        values = [1.0, 2.0, 7.0, 4.0, 3.5, 6.0, 8.0, 9.0]  # 3.5 is a seven for the second one
        asked = [composed.ask("twice", x=[[value]]) for value in values]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        errors = {v: str(a) for v, a in zip(values, answers, strict=True) if isinstance(a, BaseException)}
        assert errors.keys() == {7.0, 3.5}
        assert errors[7.0] == "pipeline 'twice', node 'a': model 'picky': a seven"
        assert errors[3.5] == "pipeline 'twice', node 'b': model 'picky': a seven"
        assert [read(a)[0] for a in answers if not isinstance(a, BaseException)] == [4.0, 8.0, 16.0, 24.0, 32.0, 36.0]
        batcher = composed.pipeline("twice").plan.units[0].node.batcher
        assert batcher.members > batcher.batches  # they were joined
        assert composed.router.pool.group("picky").budget.tokens < 100


async def test_a_pipeline_waits_for_its_model_and_keeps_serving_when_it_goes(pair: Pair) -> None:
    async with composing({}, {"slow-pipe": SLOW}) as composed:
        assert "no model 'slow' in the catalog" in composed.composer.problems["slow-pipe"]
        registration = await composed.serve("slow", pair[0].address)
        await composed.until(lambda: "slow-pipe" in composed.composer.answerers())
        assert not composed.composer.problems
        assert read(await composed.ask("slow-pipe", **slow(0.0, 1))) == [1]
        await registration.deregister()
        await composed.until(lambda: "slow-pipe" in composed.composer.problems)
        with pytest.raises(InferloomError, match="pipeline 'slow-pipe', node 's': model 'slow'") as raised:
            await composed.ask("slow-pipe", **slow(0.0, 2))
        assert raised.value.code is StatusCode.UNAVAILABLE


async def test_a_bad_document_changes_nothing_and_a_good_one_is_picked_up_without_a_dropped_request(pair: Pair) -> None:
    models = {"echo": pair[0].address, "versioned": pair[0].address, "slow": pair[0].address}
    async with composing(models, {"p": votes()}) as composed:
        stopped = asyncio.Event()
        answered = 0

        async def keep_asking() -> None:
            nonlocal answered
            while not stopped.is_set():
                assert read(await composed.ask("p", x=[[2.0]]))[0] in (2.0, 3.0)
                answered += 1

        asking = [asyncio.ensure_future(keep_asking()) for _ in range(4)]
        bad = votes()
        bad["nodes"][0]["ensemble"]["quorum"] = 3
        await composed.apply("p", bad)
        await composed.until(lambda: "p" in composed.composer.problems)
        assert "version 2 is not served" in composed.composer.problems["p"]
        before = answered
        await composed.until(lambda: answered > before + 5)
        weighted = votes(combine="max")
        await composed.apply("p", weighted)
        await composed.until(lambda: "p" not in composed.composer.problems)
        before = answered
        await composed.until(lambda: answered > before + 5)
        stopped.set()
        await asyncio.gather(*asking)
        await composed.registry.documents.put(KIND, "p", None)
        await composed.until(lambda: "p" not in composed.composer.answerers())


async def test_the_answers_of_a_last_step_that_streams_pass_one_by_one(pair: Pair) -> None:
    document = {
        "inputs": [
            {"name": "count", "datatype": "INT32", "shape": [1]},
            {"name": "seconds", "datatype": "FP32", "shape": [1]},
        ],
        "outputs": [{"name": "word", "source": "t.token"}],
        "nodes": [{"name": "t", "step": step("tokens", "count", "seconds")}],
    }
    async with composing({"tokens": pair[0].address}, {"talk": document}) as composed:
        pipeline = composed.pipeline("talk")
        assert pipeline.signature.streams
        request = infer_request("talk", "r1", count=np.array([3], np.int32), seconds=np.array([0.0], np.float32))
        context = CallContext(SYSTEM.now() + 5)
        answers = [(a.id, a.outputs[0].name, read(a)) async for a in pipeline.stream(request, context)]
        assert answers == [("r1", "word", [0]), ("r1", "word", [1]), ("r1", "word", [2])]
        with pytest.raises(InferloomError, match="use ModelStreamInfer"):
            await pipeline.infer(request, context)
        request = infer_request("talk", "r2", count=np.array([-1], np.int32), seconds=np.array([0.0], np.float32))
        with pytest.raises(InferloomError, match="pipeline 'talk', node 't': model 'tokens': count is negative"):
            [a async for a in pipeline.stream(request, context)]
