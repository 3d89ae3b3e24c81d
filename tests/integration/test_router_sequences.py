"""Requests of one sequence all go to one replica, and are never repeated elsewhere."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from tests.support.caller import Talk, infer_request, read, slow_request, stub
from tests.support.load import outcome_of
from tests.support.router import Server, running_mesh, running_servers

Pair = tuple[Server, Server]


def step(sequence: int | str, value: float, *, start: bool = False, request_id: str = "") -> Any:
    parameters: dict[str, int | bool | str] = {"sequence_id": sequence}
    if start:
        parameters["sequence_start"] = True
    return infer_request("sequence", request_id, parameters, x=np.array([[value]], np.float32))


async def test_each_of_many_sequences_stays_on_one_replica(pair: Pair) -> None:
    async with running_mesh({"one": pair[0], "two": pair[1]}) as mesh, stub(mesh.address) as face:

        async def run(sequence: int) -> list[float]:
            sums = []
            for number in range(6):
                answer = await face.ModelInfer(step(sequence, float(number), start=number == 0), timeout=10)
                sums.append(read(answer)[0])
            return sums

        results = await asyncio.gather(*(run(sequence) for sequence in range(11, 19)))
        assert results == [[0, 1, 3, 6, 10, 15]] * 8
        counts = [mesh.endpoint("sequence", name).load.requests for name in ("one", "two")]
        assert sum(counts) == 48
        assert all(count % 6 == 0 for count in counts)


async def test_a_sequence_in_a_stream_stays_on_its_replica(pair: Pair) -> None:
    async with running_mesh({"one": pair[0], "two": pair[1]}) as mesh, stub(mesh.address) as face, Talk(face) as talk:
        sums = []
        for number in range(5):
            await talk.say(step(77, 1.0, start=number == 0, request_id=str(number)))
            sums.append(read((await talk.hear()).infer_response)[0])
        assert sums == [1, 2, 3, 4, 5]


async def test_a_sequence_id_of_zero_is_no_sequence(pair: Pair) -> None:
    async with running_mesh({"one": pair[0], "two": pair[1]}) as mesh, stub(mesh.address) as face:
        request = slow_request(0.05, 1, parameters={"sequence_id": 0})
        await asyncio.gather(*(face.ModelInfer(request, timeout=10) for _ in range(8)))
        assert all(mesh.endpoint("slow", name).load.requests for name in ("one", "two"))


async def test_a_request_of_a_sequence_whose_replica_is_killed_is_not_repeated(tmp_path: Path) -> None:
    with running_servers(tmp_path, 2, ["slow"]) as servers:
        by_name = dict(zip(("one", "two"), servers, strict=True))
        async with running_mesh(by_name) as mesh, stub(mesh.address) as face:
            call = asyncio.ensure_future(
                outcome_of(face.ModelInfer(slow_request(1.0, 1, parameters={"sequence_id": 5})))
            )
            while not (asked := [name for name, each in by_name.items() if each.log().keys("ran")]):
                await asyncio.sleep(0.01)
            by_name[asked[0]].kill()
            code, _ = await call
            assert code is grpc.StatusCode.UNAVAILABLE
            assert mesh.metric("inferloom_retries_total") == 0
            other = next(each for name, each in by_name.items() if name != asked[0])
            assert other.log().keys("ran") == []
            # One that certainly never reached its replica may go to another: nothing of it has begun.
            await asyncio.sleep(0.3)
            await face.ModelInfer(slow_request(0.0, 2, parameters={"sequence_id": 5}), timeout=5)
            assert other.log().keys("ran") == [2]


async def test_a_replica_that_blinked_gets_its_sequences_back_though_the_model_has_no_other_traffic(
    tmp_path: Path,
) -> None:
    with running_servers(tmp_path, 2, ["slow"]) as servers:
        by_name = dict(zip(("one", "two"), servers, strict=True))
        async with running_mesh(by_name) as mesh, stub(mesh.address) as face:
            for name in by_name:
                endpoint = mesh.endpoint("slow", name)
                endpoint.health.refuse("the network blinked")
                endpoint.health.reach(mesh.router.clock.now())
            keys = range(1, 33)
            for key in keys:
                await face.ModelInfer(slow_request(0.0, key, parameters={"sequence_id": key}), timeout=5)
            assert all(mesh.endpoint("slow", name).load.requests for name in by_name)
            assert [str(mesh.endpoint("slow", name).health.state) for name in by_name] == ["closed", "closed"]
