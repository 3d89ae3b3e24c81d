"""tritonclient over HTTP, unchanged: at a router in front of real Tritons, and at a host itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import gevent  # type: ignore[import-untyped]
import numpy as np
import pytest
import tritonclient.http as sync
import tritonclient.http.aio as aio
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from tests.support.host import eventually, running_host, write_app
from tests.support.rest import rest_mesh, rest_port
from tests.support.router import Mesh, Server

APP = """
    from typing import Annotated

    import numpy as np
    import numpy.typing as npt

    from inferloom.sdk import service, shape

    Table = Annotated[npt.NDArray[np.float32], shape(-1, -1)]
    Halves = Annotated[npt.NDArray[np.float16], shape(-1)]

    @service
    class Mirror:
        async def predict(self, x: Table) -> Table:
            return x

        async def words(self, words: list[str]) -> list[str]:
            return [word.upper() for word in words]

        async def halves(self, x: Halves) -> Halves:
            return 2 * x
"""


class Places:
    """The same service at a host and behind a router."""

    def __init__(self, mesh: Mesh, router: str, host: str) -> None:
        self.mesh = mesh
        self.router = router
        self.host = host


@pytest.fixture
async def places(pair: tuple[Server, Server], tmp_path: Path) -> AsyncIterator[Places]:
    app = write_app(tmp_path / "mirror.py", APP)
    async with rest_mesh({"a": pair[0], "b": pair[1]}) as mesh, running_host(mesh.registry, app) as host:
        await eventually(lambda: "Mirror.words" in mesh.router.pool.groups)
        async with rest_port(mesh) as address:
            yield Places(mesh, address, f"127.0.0.1:{host.http_port}")


async def in_thread(function: Callable[[], Any]) -> Any:
    """What it returns, from a thread of its own, with which gevent's loop ends."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)
        finally:
            gevent.get_hub().destroy(destroy_loop=True)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        return await asyncio.wrap_future(future)
    finally:
        await asyncio.to_thread(thread.join)


def tensor(module: Any, array: Any, name: str = "x", *, binary: bool = True) -> Any:
    """An input with this content."""
    found = module.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    found.set_data_from_numpy(array, binary_data=binary)
    return found


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("packing", [None, "gzip", "deflate"])
async def test_the_blocking_client_gets_its_tensors_back(places: Places, binary: bool, packing: str | None) -> None:
    array = np.array([[1.5, -2, 3]], np.float32)

    def use(address: str, model: str, output: str) -> None:
        with sync.InferenceServerClient(address) as client:
            answer = client.infer(
                model,
                [tensor(sync, array, binary=binary)],
                outputs=[sync.InferRequestedOutput(output, binary_data=binary)],
                request_id="seven",
                request_compression_algorithm=packing,
                response_compression_algorithm=packing,
            )
            assert answer.as_numpy(output).tolist() == array.tolist()
            assert answer.get_response()["id"] == "seven"

    await in_thread(lambda: use(places.router, "echo", "y"))
    await in_thread(lambda: use(places.router, "Mirror", "result"))
    await in_thread(lambda: use(places.host, "Mirror", "result"))


async def test_the_blocking_client_reads_what_there_is(places: Places) -> None:
    def use() -> None:
        with sync.InferenceServerClient(places.router) as client:
            assert client.is_server_live()
            assert client.is_server_ready()
            assert client.is_model_ready("versioned", "2")
            assert not client.is_model_ready("nobody")
            assert client.get_server_metadata()["name"] == "inferloom"
            assert client.get_model_metadata("versioned")["versions"] == ["1", "2"]
            assert client.get_model_config("echo")["max_batch_size"] == 64
            assert {each["name"] for each in client.get_model_repository_index()} >= {"echo", "Mirror"}
            client.infer("Mirror", [tensor(sync, np.ones((1, 1), np.float32))])
            (row,) = client.get_inference_statistics("Mirror")["model_stats"]
            assert row["inference_count"] == 1
            with pytest.raises(InferenceServerException, match="model 'ecko' not found; did you mean echo") as raised:
                client.infer("ecko", [tensor(sync, np.ones((1, 1), np.float32))])
            assert raised.value.status() == "404"
            with pytest.raises(InferenceServerException, match="RepositoryModelLoad is not passed on by the mesh"):
                client.load_model("echo")
            with pytest.raises(InferenceServerException, match="SystemSharedMemoryStatus is not passed on"):
                client.get_system_shared_memory_status()

    await in_thread(use)


@pytest.mark.parametrize("binary", [True, False])
async def test_text_goes_both_ways(places: Places, binary: bool) -> None:
    words = np.array(["a", "zwölf", ""], dtype=object)
    for address in (places.router, places.host):
        async with aio.InferenceServerClient(address) as client:
            answer = await client.infer(
                "Mirror.words",
                [tensor(aio, words, "words", binary=binary)],
                outputs=[aio.InferRequestedOutput("result", binary_data=binary)],
            )
            assert [word if isinstance(word, str) else word.decode() for word in answer.as_numpy("result")] == [
                "A",
                "ZWÖLF",
                "",
            ]


async def test_half_precision_goes_in_binary_only(places: Places) -> None:
    halves = np.array([1, 2.5], np.float16)
    for address in (places.router, places.host):
        async with aio.InferenceServerClient(address) as client:
            answer = await client.infer("Mirror.halves", [tensor(aio, halves, "x")])
            assert answer.as_numpy("result").tolist() == [2, 5]
            with pytest.raises(InferenceServerException, match="FP16 has no JSON; ask for it"):
                await client.infer(
                    "Mirror.halves",
                    [tensor(aio, halves, "x")],
                    outputs=[aio.InferRequestedOutput("result", binary_data=False)],
                )


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (0, 5), (64, 1024)])
async def test_shapes_are_kept(places: Places, shape: tuple[int, int]) -> None:
    array = np.arange(shape[0] * shape[1], dtype=np.float32).reshape(shape)
    for address in (places.router, places.host):
        async with aio.InferenceServerClient(address) as client:
            answer = await client.infer("Mirror", [tensor(aio, array)])
            assert np.array_equal(answer.as_numpy("result"), array)


async def test_sequences_stay_with_one_replica(places: Places) -> None:
    sums = []
    async with aio.InferenceServerClient(places.router) as client:
        for number in range(4):
            answer = await client.infer(
                "sequence",
                [tensor(aio, np.array([[number]], np.float32))],
                sequence_id=77,
                sequence_start=number == 0,
                sequence_end=number == 3,
            )
            sums.append(answer.as_numpy(answer.get_response()["outputs"][0]["name"]).tolist())

    assert sums == [[[0]], [[1]], [[3]], [[6]]]


async def test_a_client_with_its_own_time_out_gives_up_alone(places: Places) -> None:
    inputs = [
        tensor(aio, np.array([[1.0]], np.float32), "seconds"),
        tensor(aio, np.array([[5]], np.int32), "key"),
    ]
    async with aio.InferenceServerClient(places.router, conn_timeout=0.3) as client:
        with pytest.raises((TimeoutError, InferenceServerException)):
            await client.infer("slow", inputs)
    await eventually(lambda: not places.mesh.router.admission.requests)
