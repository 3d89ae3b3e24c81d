"""The Open Inference Protocol through the router: the answers of Triton itself."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as sync_client
import tritonclient.grpc.aio as aio_client

from inferloom.mesh.catalog import Replica, State
from inferloom.mesh.oip import METHODS, Kind, pb
from tests.support.caller import echo_request, read, stub
from tests.support.load import outcome_of
from tests.support.router import Mesh, Server, running_mesh

Pair = tuple[Server, Server]


@pytest.fixture
async def mesh(pair: Pair) -> AsyncIterator[Mesh]:
    async with running_mesh({"one": pair[0], "two": pair[1]}) as mesh:
        yield mesh


def an_input(module: Any) -> Any:
    tensor = module.InferInput("x", [1, 3], "FP32")
    tensor.set_data_from_numpy(np.array([[1, 2, 3]], np.float32))
    return tensor


async def test_the_synchronous_tritonclient_gets_the_same_answer(mesh: Mesh, pair: Pair) -> None:
    def ask(address: str) -> tuple[Any, Any]:
        with sync_client.InferenceServerClient(address) as client:
            assert client.is_server_live()
            assert client.is_server_ready()
            assert client.is_model_ready("echo")
            assert client.is_model_ready("versioned", "2")
            assert not client.is_model_ready("ehco")
            answer = client.infer("echo", [an_input(sync_client)], request_id="7")
            return answer.get_response(), client.get_model_metadata("echo")

    through, metadata = await asyncio.to_thread(ask, mesh.address)
    directly, expected = await asyncio.to_thread(ask, pair[0].address)
    assert through == directly
    assert metadata == expected


async def test_the_asyncio_tritonclient_gets_the_same_answer(mesh: Mesh, pair: Pair) -> None:
    answers = []
    for address in (mesh.address, pair[1].address):
        async with aio_client.InferenceServerClient(address) as client:
            assert await client.is_server_ready()
            answer = await client.infer("echo", [an_input(aio_client)], client_timeout=10)
            answers.append((answer.as_numpy("y").tolist(), answer.get_response()))
    assert answers[0] == answers[1]
    assert answers[0][0] == [[1, 2, 3]]


async def test_the_streaming_tritonclient_gets_every_token(mesh: Mesh, pair: Pair) -> None:
    def ask(address: str) -> list[Any]:
        found: queue.Queue[Any] = queue.Queue()
        with sync_client.InferenceServerClient(address) as client:
            client.start_stream(lambda result, error: found.put(error or result.get_response()))
            count, seconds = (
                sync_client.InferInput("count", [1], "INT32"),
                sync_client.InferInput("seconds", [1], "FP32"),
            )
            count.set_data_from_numpy(np.array([3], np.int32))
            seconds.set_data_from_numpy(np.array([0.01], np.float32))
            client.async_stream_infer("tokens", [count, seconds], request_id="a", enable_empty_final_response=True)
            answers = [found.get(timeout=10) for _ in range(4)]
            client.stop_stream()
        assert found.empty()
        return answers

    through, directly = await asyncio.to_thread(ask, mesh.address), await asyncio.to_thread(ask, pair[0].address)
    for answer in (*through, *directly):
        answer.model_version = ""  # the router names one, and Triton repeats it in each answer
    assert through == directly
    assert through[-1].parameters["triton_final_response"].bool_param


async def test_metadata_and_configuration_are_tritons_own(mesh: Mesh, pair: Pair) -> None:
    async with stub(mesh.address) as through, stub(pair[0].address) as direct:
        for model in ("echo", "versioned", "tokens"):
            metadata = pb.ModelMetadataRequest(name=model)
            assert await through.ModelMetadata(metadata) == await direct.ModelMetadata(metadata)
            config = pb.ModelConfigRequest(name=model)
            assert await through.ModelConfig(config) == await direct.ModelConfig(config)
        assert list((await through.ModelMetadata(pb.ModelMetadataRequest(name="versioned"))).versions) == ["1", "2"]


async def test_server_metadata_names_the_mesh_and_only_what_it_passes_on(mesh: Mesh, pair: Pair) -> None:
    async with stub(mesh.address) as through, stub(pair[0].address) as direct:
        answer = await through.ServerMetadata(pb.ServerMetadataRequest())
        triton = await direct.ServerMetadata(pb.ServerMetadataRequest())
    assert answer.name == "inferloom"
    assert answer.version
    assert {"statistics", "model_configuration"} <= set(answer.extensions) < set(triton.extensions)
    assert not [name for name in answer.extensions if "shared_memory" in name or name in ("trace", "logging")]


async def test_statistics_are_the_sum_of_both_replicas(mesh: Mesh, pair: Pair) -> None:
    async with stub(mesh.address) as through, stub(pair[0].address) as one, stub(pair[1].address) as two:
        await asyncio.gather(*(through.ModelInfer(echo_request()) for _ in range(20)))
        asked = pb.ModelStatisticsRequest(name="echo")
        parts = [(await face.ModelStatistics(asked)).model_stats[0] for face in (one, two)]
        total = (await through.ModelStatistics(asked)).model_stats[0]
        assert all(part.inference_count for part in parts)
        assert total.inference_count == sum(part.inference_count for part in parts)
        assert total.inference_stats.success.count == sum(part.inference_stats.success.count for part in parts)
        assert total.inference_stats.success.ns == sum(part.inference_stats.success.ns for part in parts)
        assert total.last_inference == max(part.last_inference for part in parts)
        batches = {row.batch_size: row.compute_infer.count for row in total.batch_stats}
        expected = {row.batch_size: 0 for part in parts for row in part.batch_stats}
        for row in (row for part in parts for row in part.batch_stats):
            expected[row.batch_size] += row.compute_infer.count
        assert batches == expected
        everything = await through.ModelStatistics(pb.ModelStatisticsRequest())
        rows = [(row.name, row.version) for row in everything.model_stats]
        assert rows == sorted(rows)
        assert ("versioned", "1") in rows
        assert ("versioned", "2") in rows


async def test_the_repository_index_lists_the_whole_mesh(mesh: Mesh) -> None:
    await mesh.registry.register(Replica("late", "one", "127.0.0.1", 1, State.STARTING))
    await asyncio.sleep(0)
    async with stub(mesh.address) as face:
        index = await face.RepositoryIndex(pb.RepositoryIndexRequest())
        ready = await face.RepositoryIndex(pb.RepositoryIndexRequest(ready=True))
    lines = [(line.name, line.version, line.state) for line in index.models]
    assert lines == [
        ("echo", "1", "READY"),
        ("late", "", "LOADING"),
        ("sequence", "1", "READY"),
        ("slow", "1", "READY"),
        ("tokens", "1", "READY"),
        ("versioned", "1", "READY"),
        ("versioned", "2", "READY"),
    ]
    assert [line.name for line in ready.models].count("late") == 0


async def test_a_replica_whose_versions_are_not_known_is_ready_and_counted_in_whichever_is_asked(pair: Pair) -> None:
    async with running_mesh() as mesh, stub(mesh.address) as face:
        await mesh.join("one", pair[0], versions=())
        await asyncio.sleep(0)
        assert (await face.ModelReady(pb.ModelReadyRequest(name="versioned", version="2"))).ready
        statistics = await face.ModelStatistics(pb.ModelStatisticsRequest(name="versioned", version="2"))
        assert [row.version for row in statistics.model_stats] == ["2"]


async def test_a_second_version_takes_no_traffic_unless_it_is_named(mesh: Mesh, pair: Pair) -> None:
    async with stub(mesh.address) as face, stub(pair[0].address) as direct:
        assert read(await direct.ModelInfer(echo_request([1], "versioned"))) == [2], "Triton itself takes the newest"
        for _ in range(6):
            assert read(await face.ModelInfer(echo_request([1], "versioned"))) == [1]
        request = echo_request([1], "versioned")
        request.model_version = "2"
        assert read(await face.ModelInfer(request)) == [2]
        request.model_version = "3"
        code, message = await outcome_of(face.ModelInfer(request))
        assert code is grpc.StatusCode.NOT_FOUND
        assert "versioned:3" in message
        assert "version 1, 2" in message


FORBIDDEN = [method for method in METHODS.values() if method.kind is Kind.FORBIDDEN]


async def test_what_would_change_one_replica_is_refused(mesh: Mesh) -> None:
    names = {method.name for method in FORBIDDEN}
    assert names == {
        "RepositoryModelLoad", "RepositoryModelUnload", "SystemSharedMemoryStatus", "SystemSharedMemoryRegister",
        "SystemSharedMemoryUnregister", "CudaSharedMemoryStatus", "CudaSharedMemoryRegister",
        "CudaSharedMemoryUnregister", "TraceSetting", "LogSettings",
    }  # fmt: skip
    async with stub(mesh.address) as face:
        for method in FORBIDDEN:
            code, message = await outcome_of(face.channel.unary_unary(method.path)(b""))
            assert code is grpc.StatusCode.PERMISSION_DENIED, method.name
            assert message.startswith(f"{method.name} is not passed on by the mesh")


async def test_an_unknown_method_is_unimplemented(mesh: Mesh) -> None:
    async with stub(mesh.address) as face:
        for path in ("/inference.GRPCInferenceService/ModelDream", "/other.Service/Call", "/nonsense"):
            code, _ = await outcome_of(face.channel.unary_unary(path)(b""))
            assert code is grpc.StatusCode.UNIMPLEMENTED, path


async def test_a_call_to_the_library_answers_as_the_server_does(mesh: Mesh) -> None:
    from inferloom.mesh.call import Call
    from inferloom.mesh.oip import MODEL_INFER

    payload = echo_request([4]).SerializeToString()
    deadline = mesh.router.clock.now() + 5
    reply = await mesh.router(Call("echo", "", MODEL_INFER.path, payload, (), deadline))
    assert read(pb.ModelInferResponse.FromString(reply.payload)) == [4]
