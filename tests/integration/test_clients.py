"""The asynchronous client against a real Triton."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from inferloom.clients.aio import CastWarning
from inferloom.sdk import (
    DeadlineExceeded,
    Exhausted,
    InferloomError,
    InvalidInput,
    MeshClient,
    ModelNotFound,
    ReplicaError,
    Unreachable,
)
from inferloom.sidecar.ports import free_ports
from tests.support.client_models import DATATYPES, DOUBLE, write_models
from tests.support.triton import Triton, running_triton, write_model

LOOSE = ("--model-control-mode=poll", "--repository-poll-secs=1")


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    folder = tmp_path_factory.mktemp("clients")
    write_models(folder / "models")
    with running_triton(folder / "models", folder / "triton.log") as server:
        yield server


@pytest.fixture
async def mesh(triton: Triton) -> AsyncIterator[MeshClient]:
    async with MeshClient(triton.grpc) as client:
        yield client


def sample(datatype: str) -> Any:
    if datatype == "BYTES":
        return np.array([[b"", b"a\0"], ["é".encode(), b"\xff" * 300]], dtype=object)
    if datatype == "BOOL":
        return np.array([[True, False, True]])
    if datatype == "BF16":
        return np.array([[1.5, -2.0, np.inf, 3.0e38]], ml_dtypes.bfloat16)
    dtype = np.dtype(datatype.lower().replace("fp", "float"))
    limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    return np.array([[limits.min, limits.max, 0], [1, 2, 3]], dtype)


@pytest.mark.parametrize("datatype", DATATYPES)
async def test_each_datatype_comes_back_as_it_went(mesh: MeshClient, datatype: str) -> None:
    array = sample(datatype)
    out = await mesh.infer("identity", {datatype: array})
    expected = array.astype(np.float32) if datatype == "BF16" else array
    assert list(out) == [datatype]
    assert out[datatype].dtype == expected.dtype
    assert out[datatype].tolist() == expected.tolist()


async def test_several_inputs_and_the_outputs_wanted(mesh: MeshClient) -> None:
    out = await mesh.infer("identity", {"FP32": [[1.0]], "BYTES": [["a"]], "INT8": [[7]]}, outputs=["INT8", "BYTES"])
    assert sorted(out) == ["BYTES", "INT8"]
    assert out.text("BYTES").tolist() == [["a"]]


async def test_an_answer_says_who_gave_it(mesh: MeshClient) -> None:
    out = await mesh.infer("double", [1, 2, 3, 4], request_id="r-7", version=1)
    assert (out.model, out.version, out.id) == ("double", "1", "r-7")
    assert out.y.tolist() == [[2, 4, 6, 8]]


async def test_a_handle_is_called_with_the_inputs_as_keywords(mesh: MeshClient) -> None:
    double = mesh.model("double", timeout=5)
    assert (await double(x=[1, 2, 3, 4])).y.tolist() == [[2, 4, 6, 8]]
    assert (await double([[1, 2, 3, 4]])).y.tolist() == [[2, 4, 6, 8]]
    assert str(await double.describe()) == "double takes x FP32 [-1,4]; gives y FP32 [-1,4]"
    assert await double.ready()


async def test_a_float64_array_is_cast_with_one_warning_per_model_and_input(mesh: MeshClient) -> None:
    with pytest.warns(CastWarning, match="input 'x' of double takes FP32: the float64 array was cast") as caught:
        await mesh.infer("double", np.ones((1, 4)))
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = await mesh.infer("double", np.ones((1, 4)))
        await mesh.infer("double", [1.0, 2.0, 3.0, 4.0])
    assert out.y.tolist() == [[2, 2, 2, 2]]


async def test_a_tensor_of_48_mib_goes_both_ways(mesh: MeshClient) -> None:
    array = np.arange(12 * 2**20, dtype=np.float32).reshape(1, -1)
    out = await mesh.infer("identity", {"FP32": array})
    assert np.array_equal(out.FP32, array)


async def test_a_request_over_the_bound_is_refused_and_the_connection_lives_on(triton: Triton) -> None:
    async with MeshClient(triton.grpc, max_message_bytes=1 << 20) as mesh:
        with pytest.raises(Exhausted, match="over this client's bound of 1048576") as caught:
            await mesh.infer("identity", {"FP32": np.zeros((1, 1 << 19), np.float32)})
        assert caught.value.reason == "size"
        assert (await mesh.infer("double", [1, 2, 3, 4])).y.shape == (1, 4)


@pytest.mark.parametrize(
    ("model", "inputs", "message"),
    [
        ("double", {"X1": [1]}, "no input 'X1'; double takes x FP32 [-1,4] (did you mean 'x'?)"),
        ("double", {}, "input 'x' is missing; double takes x FP32 [-1,4]"),
        ("double", [1, 2, 3], "input 'x' of double takes shape [-1,4] (-1: any size), got [3]"),
        ("double", np.zeros((9, 4), np.float32), "double takes batches of at most 8, got 9: send it in parts"),
    ],
)
async def test_what_is_wrong_is_explained_before_it_is_sent(
    mesh: MeshClient, model: str, inputs: Any, message: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        await mesh.infer(model, inputs)
    assert str(caught.value) == message


async def test_an_unknown_model_and_an_unknown_version_are_not_found(mesh: MeshClient) -> None:
    with pytest.raises(ModelNotFound, match="'doubel'") as caught:
        await mesh.infer("doubel", [1])
    assert caught.value.model == "doubel"
    with pytest.raises(ModelNotFound, match="version 9"):
        await mesh.infer("double", [1, 2, 3, 4], version="9")


async def test_a_model_that_raises_is_a_replica_error_without_its_stack(mesh: MeshClient) -> None:
    with pytest.raises(ReplicaError, match="ValueError: the moon is full") as caught:
        await mesh.infer("raises", [1.0])
    assert caught.value.code.name == "INTERNAL"
    assert "model.py" not in str(caught.value)


async def test_a_deadline_is_kept_and_named(mesh: MeshClient) -> None:
    started = asyncio.get_running_loop().time()
    with pytest.raises(DeadlineExceeded, match=r"no answer from sleep within 0\.2 s"):
        await mesh.infer("sleep", [5.0], timeout=0.2)
    assert asyncio.get_running_loop().time() - started < 2


async def test_cancelling_the_task_cancels_the_call_down_to_the_model(mesh: MeshClient) -> None:
    before = int((await mesh.infer("sleep", [0.0])).ran[0, 0])
    task = asyncio.create_task(mesh.infer("sleep", [20.0]))
    await asyncio.sleep(0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    after = await mesh.infer("sleep", [0.0], timeout=5)  # in 20 s, were the model still at it
    assert int(after.ran[0, 0]) == before + 1


async def test_closing_the_client_ends_its_calls_with_an_error(triton: Triton) -> None:
    mesh = MeshClient(triton.grpc)
    await mesh.infer("sleep", [0.0])
    task = asyncio.create_task(mesh.infer("sleep", [5.0]))
    await asyncio.sleep(0.2)
    await mesh.close()
    with pytest.raises(InferloomError, match="the client was closed while the call was under way"):
        await task


async def test_models_metadata_ready_and_live(mesh: MeshClient) -> None:
    models = await mesh.models()
    assert [m.name for m in models] == ["double", "identity", "raises", "repeat", "sleep"]
    assert all(m.ready and m.versions == ("1",) for m in models)
    metadata = await mesh.metadata("repeat")
    assert metadata.decoupled
    assert str(metadata) == "repeat takes times INT32 [1]; gives turn INT32 [1]"
    assert all(spec.optional for spec in (await mesh.metadata("identity")).inputs)
    assert await mesh.live()
    assert await mesh.ready()
    assert await mesh.ready("double")
    assert not await mesh.ready("doubel")


async def test_a_server_that_is_not_there_is_unreachable_and_not_live() -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    async with MeshClient(address) as mesh:
        with pytest.raises(Unreachable, match=f"nothing listens at {address}; `inferloom up MODEL` starts a mesh"):
            await mesh.infer("double", [1])
        assert not await mesh.live()
        assert not await mesh.ready("double")


async def test_a_client_belongs_to_one_event_loop(triton: Triton) -> None:
    mesh = MeshClient(triton.grpc)
    assert await mesh.live()
    with pytest.raises(InferloomError, match="belongs to another event loop"):
        await asyncio.to_thread(asyncio.run, mesh.live())
    await mesh.close()


async def test_a_hundred_calls_at_once_share_one_client(mesh: MeshClient) -> None:
    answers = await asyncio.gather(*(mesh.infer("double", [n, 0, 0, 0]) for n in range(100)))
    assert [out.y[0, 0] for out in answers] == [2.0 * n for n in range(100)]


async def test_a_changed_model_is_learnt_without_a_new_client(tmp_path: Path) -> None:
    before = (
        'input [{ name: "x" data_type: TYPE_FP32 dims: [4] }]\noutput [{ name: "y" data_type: TYPE_FP32 dims: [4] }]\n'
    )
    write_model(tmp_path / "models", "double", before, DOUBLE)
    with running_triton(tmp_path / "models", tmp_path / "log", extra=LOOSE) as server:
        async with MeshClient(server.grpc) as mesh:
            assert (await mesh.infer("double", [1, 2, 3, 4])).y.tolist() == [2, 4, 6, 8]
            changed = before.replace("dims: [4]", "dims: [2]")
            (tmp_path / "models/double/config.pbtxt").write_text(f'name: "double"\nbackend: "python"\n{changed}')
            async with asyncio.timeout(20):
                while (await mesh.metadata("double")).inputs[0].shape != (2,):
                    await asyncio.sleep(0.1)
            mesh._signatures._known[("double", "")] = await stale(mesh)
            assert (await mesh.infer("double", [1, 2])).y.tolist() == [2, 4]


async def stale(mesh: MeshClient) -> Any:
    """The metadata as it was before the change."""
    from dataclasses import replace

    now = await mesh.metadata("double")
    return replace(now, inputs=(replace(now.inputs[0], shape=(4,)),))
