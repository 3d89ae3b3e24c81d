"""The sidecar on a real Triton: what it loads, registers and leaves alone."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from inferloom.mesh.catalog import State
from inferloom.sidecar.triton import TritonClient
from tests.support.sidecar import BAD, infer, running, values, write_model
from tests.support.sidecar import request as infer_request


async def test_a_model_is_registered_once_it_has_answered(tmp_path: Path) -> None:
    write_model(tmp_path, "double")
    async with running(tmp_path, weight=2.0, locality="eu/a") as it:
        replica = await it.serving("double", "1")
        assert (replica.id, replica.weight, replica.locality, replica.generation) == ("a", 2.0, "eu/a", 1)
        assert replica.http_port
        assert replica.check == it.sidecar.check
        assert await infer(replica) == (2.0, 4.0)
        assert (await it.sidecar.load())["double"].succeeded >= 1
        before = [c.models["double"].replicas[0].state for c in it.history if "double" in c.models]
        assert before[0] is State.STARTING
        aside = tmp_path.with_name("aside")
        tmp_path.rename(aside)  # a volume that is away for a moment
        await asyncio.sleep(0.5)
        assert it.replica("double") == replica
        aside.rename(tmp_path)


async def test_a_new_version_neither_unloads_nor_interrupts_the_one_before(tmp_path: Path) -> None:
    write_model(tmp_path, "double")
    async with running(tmp_path) as it:
        replica = await it.serving("double", "1")
        client = TritonClient(replica.host, replica.port)
        answers: list[tuple[float, ...]] = []
        stop = asyncio.Event()

        async def call() -> None:
            while not stop.is_set():
                answers.append(values(await client.infer(infer_request("double", "1"), 20.0)))

        calling = [asyncio.create_task(call()) for _ in range(3)]
        write_model(tmp_path, "double", "2", factor=3)
        both = await it.serving("double", "1", "2")
        await asyncio.sleep(0.3)
        write_model(tmp_path, "double", "3", source=BAD)
        broken = await it.until("double", lambda r: "version 3" in r.problem)
        await asyncio.sleep(0.3)
        stop.set()
        await asyncio.gather(*calling)
        await client.close()
        assert set(answers) == {(2.0, 4.0)}
        assert both.default_version == "1"
        assert await infer(both, "2") == (3.0, 6.0)
        assert (broken.state, broken.versions) == (State.SERVING, ("1", "2"))
        assert "this model is broken" in broken.problem
        assert not any(c.models["double"].replicas[0].state is State.STARTING for c in it.history[-3:])


async def test_a_version_that_is_taken_away_leaves_the_record_and_the_others_serve(tmp_path: Path) -> None:
    write_model(tmp_path, "double")
    write_model(tmp_path, "double", "2", factor=3)
    async with running(tmp_path) as it:
        await it.serving("double", "1", "2")
        shutil.rmtree(tmp_path / "double" / "1")
        replica = await it.serving("double", "2")
        assert await infer(replica) == (3.0, 6.0)
        shutil.rmtree(tmp_path / "double")
        async with asyncio.timeout(20):
            async for catalog in it.registry.watch():
                if "double" not in catalog.models:
                    break
        states = [c.models["double"].replicas[0].state for c in it.history if "double" in c.models]
        assert states[-1] is State.DRAINING


async def test_a_broken_model_or_version_harms_no_other(tmp_path: Path) -> None:
    write_model(tmp_path, "bad", source=BAD)
    write_model(tmp_path, "mixed")
    write_model(tmp_path, "mixed", "2", source=BAD)
    write_model(tmp_path, "good")
    (tmp_path / "unreadable" / "1").mkdir(parents=True)
    (tmp_path / "unreadable" / "1" / "model.py").write_text(BAD)
    (tmp_path / "unreadable" / "config.pbtxt").write_text('backend: "python" colour: "red"')
    async with running(tmp_path) as it:
        assert await infer(await it.serving("good", "1")) == (2.0, 4.0)
        mixed = await it.serving("mixed", "1")
        assert mixed.problem.startswith("version 2: ")
        bad = await it.until("bad", lambda r: "this model is broken" in r.problem)
        assert (bad.state, bad.versions) == (State.STARTING, ())
        assert "\n" not in bad.problem
        unreadable = await it.until("unreadable", lambda r: "config.pbtxt" in r.problem)
        assert "colour" in unreadable.problem
        # Mended, it is loaded without anybody having to ask.
        shutil.rmtree(tmp_path / "bad" / "1")
        write_model(tmp_path, "bad")
        assert await infer(await it.serving("bad", "1")) == (2.0, 4.0)


async def test_a_version_with_a_wrong_answer_to_its_warm_up_does_not_serve(tmp_path: Path) -> None:
    given = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}]}
    for name, expected in (("right", [2, 4]), ("wrong", [2, 5])):
        folder = write_model(tmp_path, name)
        warmup = {**given, "outputs": [{"name": "y", "data": expected}]}
        (folder / "warmup.json").write_text(json.dumps(warmup))
    async with running(tmp_path) as it:
        await it.serving("right", "1")
        wrong = await it.until("wrong", lambda r: "wrong answer" in r.problem)
        assert wrong.state is State.STARTING
        assert "4.0 at 1, 5 was expected" in wrong.problem


async def test_health_is_answered_per_model_and_watched(tmp_path: Path) -> None:
    write_model(tmp_path, "double")
    write_model(tmp_path, "bad", source=BAD)
    async with running(tmp_path) as it:
        await it.serving("double")
        await it.until("bad", lambda r: "broken" in r.problem)
        status = health_pb2.HealthCheckResponse
        async with grpc.aio.insecure_channel(it.sidecar.check) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            for name, expected in (("", status.SERVING), ("double", status.SERVING), ("bad", status.NOT_SERVING)):
                answer = await stub.Check(health_pb2.HealthCheckRequest(service=name))
                assert answer.status == expected, name
            watch = stub.Watch(health_pb2.HealthCheckRequest(service="double"))
            assert (await watch.read()).status == status.SERVING
            draining = asyncio.create_task(it.sidecar.drain())
            assert (await watch.read()).status == status.NOT_SERVING
            await draining
