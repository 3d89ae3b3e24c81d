"""`inferloom infer` and its example lines against a real Triton."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator

import pytest
from rich.console import Console

from inferloom.cli.infer import infer
from inferloom.clients.example import example_call, example_python
from inferloom.sdk import InvalidInput, MeshClient
from tests.support.client_models import write_models
from tests.support.triton import Triton, running_triton


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    folder = tmp_path_factory.mktemp("command")
    write_models(folder / "models")
    with running_triton(folder / "models", folder / "triton.log") as server:
        yield server


async def shown(address: str, model: str, *inputs: str) -> str:
    console = Console(file=io.StringIO(), width=100)
    await infer(address, model, inputs, console=console)
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


async def test_it_prints_a_table(triton: Triton) -> None:
    text = await shown(triton.grpc, "double", "x=[1,2,3,4]")
    assert "double:1" in text
    assert "[[2. 4. 6. 8.]]" in text


async def test_it_prints_json(triton: Triton, capsys: pytest.CaptureFixture[str]) -> None:
    await infer(triton.grpc, "double", ["[1,2,3,4]"], json=True)
    assert json.loads(capsys.readouterr().out)["outputs"] == {"y": [[2.0, 4.0, 6.0, 8.0]]}


async def test_a_decoupled_model_prints_each_answer(triton: Triton) -> None:
    assert (await shown(triton.grpc, "repeat", "times=[3]")).count("repeat:1") == 3


async def test_without_inputs_it_shows_a_call_that_works(triton: Triton) -> None:
    with pytest.raises(
        InvalidInput, match=r"double takes x FP32 \[-1,4\]. For example: inferloom infer double --input"
    ):
        await shown(triton.grpc, "double")


@pytest.mark.parametrize("model", ["double", "identity", "repeat", "sleep"])
async def test_the_line_to_paste_works(triton: Triton, model: str) -> None:
    async with MeshClient(triton.grpc) as mesh:
        line = shlex.split(example_call(await mesh.metadata(model)))
    assert line[:3] == ["inferloom", "infer", model]
    assert line[3] == "--input"
    text = await shown(triton.grpc, model, *line[4::2])
    assert (f"{model}:1" in text) == (model != "repeat")  # asked for 0 answers, it gives none


@pytest.mark.parametrize("model", ["double", "identity", "repeat", "sleep"])
async def test_the_python_program_works(triton: Triton, model: str) -> None:
    async with MeshClient(triton.grpc) as mesh:
        program = example_python(await mesh.metadata(model), triton.grpc)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert done.stderr == ""
    assert ("array" in done.stdout) == (model != "repeat")
