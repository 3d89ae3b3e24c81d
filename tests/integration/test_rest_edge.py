"""REST through the edge: models' and hosts' own REST behind Envoy, and what the router answers there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http.aio as aio
from tritonclient.utils import InferenceServerException

from tests.support.edge import Gateway, running_edge
from tests.support.host import eventually, running_host, write_app
from tests.support.rest import rest_mesh, rest_of
from tests.support.router import Server

APP = """
    from inferloom.sdk import service

    @service
    class Words:
        async def predict(self, words: list[str]) -> list[str]:
            return [word.upper() for word in words]
"""


@pytest.fixture
async def gateway(pair: tuple[Server, Server], tmp_path: Path) -> AsyncIterator[Gateway]:
    app = write_app(tmp_path / "words.py", APP)
    async with rest_mesh({"a": pair[0], "b": pair[1]}) as mesh, running_host(mesh.registry, app):
        await eventually(lambda: "Words" in mesh.router.pool.groups)
        async with running_edge(mesh) as gateway:
            await asyncio.gather(
                gateway.edge.reaches("echo", 2, rest=True), gateway.edge.reaches("Words", 1, rest=True)
            )
            yield gateway


def tensor(name: str, array: Any, datatype: str, *, binary: bool = True) -> aio.InferInput:
    found = aio.InferInput(name, list(array.shape), datatype)
    found.set_data_from_numpy(array, binary_data=binary)
    return found


async def test_clients_reach_models_and_services_without_the_router(gateway: Gateway) -> None:
    array = np.array([[1.5, -2, 3]], np.float32)
    words = np.array(["a", "zwölf"], dtype=object)
    async with aio.InferenceServerClient(gateway.address) as client:
        for binary in (True, False):
            outputs = [aio.InferRequestedOutput("y", binary_data=binary)]
            answer = await client.infer("echo", [tensor("x", array, "FP32", binary=binary)], outputs=outputs)
            assert np.array_equal(answer.as_numpy("y"), array)
            answer = await client.infer("Words", [tensor("words", words, "BYTES", binary=binary)])
            assert [word.decode() for word in answer.as_numpy("result")] == ["A", "ZWÖLF"]
        packed = await client.infer(
            "echo",
            [tensor("x", array, "FP32")],
            request_compression_algorithm="gzip",
            response_compression_algorithm="gzip",
        )
        assert np.array_equal(packed.as_numpy("y"), array)
    sent = gateway.edge.stats("^cluster.rest/.*upstream_rq_completed$")
    assert {name.split("/")[1].partition(".")[0]: count for name, count in sent.items() if count} == {
        "echo": 2,  # the packed one is the router's: only unpacked it tells whether it belongs to a sequence
        "Words": 2,
    }


async def test_what_the_edge_does_not_answer_itself_reads_as_at_the_router(gateway: Gateway) -> None:
    async with aio.InferenceServerClient(gateway.address) as client:
        assert await client.is_server_ready()
        assert (await client.get_server_metadata())["name"] == "inferloom"
        assert (await client.get_model_metadata("versioned"))["versions"] == ["1", "2"]
        assert (await client.get_model_config("echo"))["max_batch_size"] == 64
        with pytest.raises(InferenceServerException, match="model 'ecko' not found; did you mean echo"):
            await client.infer("ecko", [tensor("x", np.ones((1, 1), np.float32), "FP32")])
        with pytest.raises(InferenceServerException, match="RepositoryModelLoad is not passed on by the mesh"):
            await client.load_model("echo")


@pytest.mark.filterwarnings("ignore:Sending a large body directly")  # the client does so
async def test_what_generates_and_large_tensors_pass(gateway: Gateway) -> None:
    async with rest_of(gateway.address) as rest:
        stream = await rest.post("/v2/models/tokens/generate_stream", {"count": 3, "seconds": 0.0})
        events = [json.loads(event.removeprefix("data: ")) for event in stream.body.decode().split("\n\n")[:-1]]
        assert [event["token"] for event in events] == [0, 1, 2]
        assert (await rest.post("/v2/models/Words/generate", {"words": ["a"]})).json["result"] == "A"
    array = np.arange(1024 * 1024, dtype=np.float32)[None, :]
    async with aio.InferenceServerClient(gateway.address) as client:
        answer = await client.infer("echo", [tensor("x", array, "FP32")], outputs=[aio.InferRequestedOutput("y")])
        assert np.array_equal(answer.as_numpy("y"), array)
