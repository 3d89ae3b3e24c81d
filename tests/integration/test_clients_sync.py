"""The synchronous client against a real Triton."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from inferloom.sdk import DeadlineExceeded, ModelNotFound, ReplicaError, SyncMeshClient
from tests.support.client_models import write_models
from tests.support.triton import Triton, running_triton


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    folder = tmp_path_factory.mktemp("sync")
    write_models(folder / "models")
    with running_triton(folder / "models", folder / "triton.log") as server:
        yield server


@pytest.fixture
def mesh(triton: Triton) -> Iterator[SyncMeshClient]:
    with SyncMeshClient(triton.grpc) as client:
        yield client


def test_it_calls_a_model(mesh: SyncMeshClient) -> None:
    assert mesh.infer("double", [1, 2, 3, 4]).y.tolist() == [[2, 4, 6, 8]]
    double = mesh.model("double")
    assert double.options(timeout=5.0)(x=np.ones(4, np.float32)).y.tolist() == [[2, 2, 2, 2]]
    assert str(double.describe()) == "double takes x FP32 [-1,4]; gives y FP32 [-1,4]"
    assert double.ready()


def test_it_lists_and_asks(mesh: SyncMeshClient) -> None:
    assert [m.name for m in mesh.models()] == ["double", "identity", "raises", "repeat", "sleep"]
    assert mesh.metadata("repeat").decoupled
    assert mesh.live()
    assert mesh.ready("double")


def test_errors_are_those_of_the_asynchronous_client(mesh: SyncMeshClient) -> None:
    with pytest.raises(ModelNotFound):
        mesh.infer("doubel", [1])
    with pytest.raises(ReplicaError, match="the moon is full"):
        mesh.infer("raises", [1.0])
    with pytest.raises(DeadlineExceeded, match=r"within 0\.2 s"):
        mesh.infer("sleep", [5.0], timeout=0.2)


async def test_it_works_inside_a_running_loop_as_a_notebook_has_one(triton: Triton) -> None:
    assert asyncio.get_running_loop().is_running()
    with SyncMeshClient(triton.grpc) as mesh:
        assert mesh.infer("double", [1, 2, 3, 4]).y.shape == (1, 4)


def test_threads_may_share_it(mesh: SyncMeshClient) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: mesh.infer("double", [n, 0, 0, 0]).y[0, 0], range(40)))
    assert answers == [2.0 * n for n in range(40)]


def test_it_streams(mesh: SyncMeshClient) -> None:
    assert [int(out.turn[0]) for out in mesh.stream("repeat", {"times": [3]})] == [0, 1, 2]
    assert [int(out.turn[0]) for out in mesh.model("repeat").stream(iter([[1], [2]]))] == [0, 0, 1]
    with mesh.stream("repeat", {"times": [50]}) as stream:
        assert next(stream).turn.tolist() == [0]


def test_a_stream_goes_on_after_the_error_of_one_message(mesh: SyncMeshClient) -> None:
    stream = mesh.stream("repeat", [{"times": [-1]}, {"times": [1]}])
    found = []
    for _ in range(2):
        try:
            found.append(next(stream).turn.tolist())
        except ReplicaError as error:
            found.append(str(error))
    assert sorted(map(str, found)) == ["[0]", "times is negative"]
    assert list(stream) == []


def test_requests_that_wait_hold_up_no_other_call(mesh: SyncMeshClient) -> None:
    go = threading.Event()

    def requests() -> Iterator[list[int]]:
        yield [1]
        go.wait(20)
        yield [1]

    stream = mesh.stream("repeat", requests())
    assert next(stream).id == "0"
    assert mesh.infer("double", [1, 2, 3, 4], timeout=5).y.shape == (1, 4)
    go.set()
    assert next(stream).id == "1"
    stream.close()


def test_close_ends_its_thread(triton: Triton) -> None:
    before = threading.active_count()
    with SyncMeshClient(triton.grpc) as mesh:
        mesh.infer("double", [1, 2, 3, 4])
    assert [t.name for t in threading.enumerate()].count("inferloom-client") == 0
    assert threading.active_count() <= before + 1  # gRPC keeps a thread of its own


def test_a_program_that_forgets_to_close_it_ends_quietly(triton: Triton) -> None:
    code = (
        f"from inferloom.sdk import SyncMeshClient as C; m = C({triton.grpc!r}); print(m.infer('double', [1,2,3,4]).y)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.strip() == "[[2. 4. 6. 8.]]"
    assert done.stderr == ""
