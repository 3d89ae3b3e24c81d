"""`inferloom codegen` from a mesh, and the package it writes, called through a real router to a real Triton."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2

from inferloom.cli.codegen.command import Options, codegen
from inferloom.mesh.errors import InvalidInput, ModelNotFound
from inferloom.services.proto.lock import KIND
from tests.support.router import Server
from tests.support.typed import TypedMesh, running_typed, stub
from tests.unit.services.proto.proto_strategies import compiled

CALLS = """
import asyncio
import sys

import numpy as np

from inferloom.models.echo.v1 import AsyncEchoClient, EchoClient, InputRow
from inferloom.models.echo.v1.arrays import arrays_of, request_of
from inferloom.models.tokens.v1 import AsyncTokensClient, PredictStreamRequest, TokensClient

target = sys.argv[1]
with EchoClient(target, timeout=20) as echo:
    print([list(row.y) for row in echo.predict([InputRow(x=[1, 2]), {"x": [3, 4]}]).rows])
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    found = arrays_of(echo.predict(request_of(x=x).rows))
    print(bool((found.y == x).all()), found.y.dtype, found.parameters.shape)
    print(echo.describe().max_rows)
with TokensClient(target, timeout=20) as tokens:
    print([answer.token for answer in tokens.predict_stream(PredictStreamRequest(count=3, seconds=0))])


async def main():
    async with AsyncEchoClient(target, timeout=20) as echo:
        print([list(row.y) for row in (await echo.predict([{"x": [5]}])).rows])
    async with AsyncTokensClient(target, timeout=20) as tokens:
        print([answer.token async for answer in tokens.predict_stream(PredictStreamRequest(count=2, seconds=0))])


asyncio.run(main())
"""


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("codegen"), ["echo", "tokens"])
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
async def typed(triton: Server) -> AsyncIterator[TypedMesh]:
    async with running_typed({"a": triton}) as one:
        for name in ("echo", "tokens"):
            await one.faces.of(name)
        yield one


def options(typed: TypedMesh, out: Path, *names: str, client: str = "", major: int | None = None) -> Options:
    return Options(names, out, mesh=typed.mesh.address, client=client, major=major)


async def test_what_is_written_is_what_is_served(typed: TypedMesh, tmp_path: Path) -> None:
    await codegen(options(typed, tmp_path, "echo"))
    text = (tmp_path / "inferloom/models/echo/v1/echo.proto").read_text()
    service = "inferloom.models.echo.v1.EchoService"
    found = await asyncio.to_thread(stub, typed.mesh.address, service, typed.channel)
    served = descriptor_pb2.FileDescriptorProto()
    found.PredictRequest.DESCRIPTOR.file.CopyToProto(served)
    assert compiled("inferloom/models/echo/v1/echo.proto", text) == served


async def test_the_package_for_python_calls_once_and_streams_with_and_without_asyncio(
    typed: TypedMesh, tmp_path: Path
) -> None:
    await codegen(options(typed, tmp_path, "echo", "tokens", client="python"))
    sources = [str(path) for path in sorted((tmp_path / "python").glob("*/src"))]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-c", CALLS, typed.mesh.address),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sources)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert out.decode().splitlines() == [
        "[[1.0, 2.0], [3.0, 4.0]]",
        "True float32 (2, 1)",
        "64",
        "[0, 1, 2]",
        "[[5.0]]",
        "[0, 1]",
    ]


async def test_hints_of_the_models_document_are_in_the_proto(typed: TypedMesh, tmp_path: Path) -> None:
    hints = {"inputs": {"x": {"name": "measured", "unit": "cm"}}}
    await typed.mesh.registry.documents.put("model", "echo", {"hints": hints})
    await codegen(options(typed, tmp_path, "echo"))
    text = (tmp_path / "inferloom/models/echo/v1/echo.proto").read_text()
    assert "FP32 [-1], the tensor x, in cm." in text.replace(" of each row", "")
    assert "repeated float measured = " in text


async def test_hints_that_do_not_fit_are_left_aside_as_the_mesh_does(
    typed: TypedMesh, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await typed.mesh.registry.documents.put("model", "echo", {"hints": {"inputs": {"z": {"name": "w"}}}})
    await codegen(options(typed, tmp_path, "echo"))
    told = "inferloom: warning: hints are left aside: hints of 'echo': there is no input 'z'; there are x\n"
    assert told in capsys.readouterr().err
    assert "repeated float x = " in (tmp_path / "inferloom/models/echo/v1/echo.proto").read_text()


async def test_numbers_are_those_of_the_mesh_and_others_are_refused(typed: TypedMesh, tmp_path: Path) -> None:
    await codegen(options(typed, tmp_path, "tokens"))
    path = tmp_path / "inferloom/models/tokens/v1/tokens.lock.json"
    lock = json.loads(path.read_text())
    document = await typed.mesh.registry.documents.get(KIND, "tokens")
    assert document is not None
    assert lock == document.spec
    lock["scopes"]["PredictStreamRequest"]["present"]["count"][0] = 7
    path.write_text(json.dumps(lock))
    with pytest.raises(InvalidInput, match=r"number 7 of PredictStreamRequest.count in .* is none of the mesh's"):
        await codegen(options(typed, tmp_path, "tokens"))


async def test_a_name_that_is_not_there_is_told_with_near_ones(typed: TypedMesh, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="echo"):
        await codegen(options(typed, tmp_path, "ecko"))
    with pytest.raises(InvalidInput, match=r"name what to write a proto for; the mesh serves echo, tokens"):
        await codegen(options(typed, tmp_path))
    assert list(tmp_path.iterdir()) == []


async def test_another_major_version_than_is_served_is_told(
    typed: TypedMesh, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await codegen(options(typed, tmp_path, "echo"))
    await codegen(options(typed, tmp_path, "echo", major=2))
    assert "inferloom: warning: the mesh serves echo as v1\n" in capsys.readouterr().err
