"""`inferloom host` as a command: what it says, and what it refuses."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.support.host import WRITABLE, host_process, write_app
from tests.support.router import running_mesh

APP = """
    from pathlib import Path

    from inferloom.sdk import model, service

    print("imported")
    iris = model("iris", source="models/iris.onnx")


    @service(replicas=2, cpus=1, env={"MODE": "fast"}, version=3, max_ongoing=4)
    class Shop:
        async def predict(self, x: int) -> int:
            return x

        async def other(self, x: int) -> int:
            return x


    @service
    async def small(x: float) -> float:
        return x
"""


async def inferloom(*argv: str) -> tuple[int, str, str]:
    """Exit status, stdout and stderr."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "inferloom.cli", *argv),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "INFERLOOM_LOG": ""},
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_describe_prints_what_a_file_declares(tmp_path: Path) -> None:
    status, out, _ = await inferloom("host", "--describe", str(write_app(tmp_path / "shop.py", APP)))

    found = json.loads(out)
    assert status == 0
    assert found["services"]["Shop"] == {
        "version": "3",
        "replicas": 2,
        "cpus": 1,
        "gpus": 0,
        "env": {"MODE": "fast"},
        "repeat": "unbegun",
        "stream": False,
        "asgi": False,
        "max_ongoing": 4,
        "methods": ["Shop.other", "Shop"],
    }
    assert found["models"] == {"iris": {"source": "models/iris.onnx", "version": ""}}
    assert (list(found["services"]), found["pipelines"], found["errors"]) == (["Shop", "small"], {}, [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nothing_of_that_name", "app.py:1: ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        ("x = 1\nx +\n", "app.py:2: SyntaxError: invalid syntax"),
        ("def f():\n    return 1 / 0\n\nf()\n", "app.py:2: ZeroDivisionError: division by zero"),
    ],
)
async def test_a_file_that_does_not_import_is_one_line_and_status_2(tmp_path: Path, text: str, message: str) -> None:
    app = tmp_path / "app.py"
    app.write_text(text)
    for argv in (["--describe", str(app)], [str(app), "--registry", "static:"]):
        status, out, err = await inferloom("host", *argv)

        assert (status, out) == (2, "")
        assert err.splitlines()[-1] == f"inferloom: {message}"


async def test_a_method_without_types_is_refused_with_its_place(tmp_path: Path) -> None:
    app = write_app(tmp_path / "app.py", APP.replace("x: float", "x"))

    status, _, err = await inferloom("host", "--describe", str(app))
    assert status == 2
    assert "small" in err.splitlines()[-1]
    assert "argument 'x' has no type" in err.splitlines()[-1]


async def test_wrong_options_are_one_line(tmp_path: Path) -> None:
    app = str(write_app(tmp_path / "shop.py", APP))
    for argv, message in (
        (
            ["host", app, "--registry", "static:", "--only", "Shap"],
            "shop.py: there is no service 'Shap'; did you mean Shop?",
        ),
        (["host", str(tmp_path / "none.py")], f"{tmp_path / 'none.py'}: there is no such file"),
        (["host"], "give a file with services, or --pipelines"),
        (["host", "no.such.module"], "no.such.module: it is no file, and no module that can be imported"),
    ):
        status, _, err = await inferloom(*argv)
        assert status == 2
        assert err.splitlines()[-1].startswith(f"inferloom: {message}")


async def test_it_says_when_it_is_ready_and_has_an_admin_face(tmp_path: Path) -> None:
    app = str(write_app(tmp_path / "shop.py", APP))
    async with (
        running_mesh(server=WRITABLE) as mesh,
        host_process(tmp_path, mesh.address, app, "--only", "Shop", "--admin", "127.0.0.1:0") as host,
    ):
        said = dict(part.partition("=")[::2] for part in host.ready.split(" ")[1:3])
        assert host.ready.endswith("services=Shop Shop.other")
        assert mesh.registry.catalog.models["Shop"].replicas[0].versions == ("3",)
        assert mesh.registry.catalog.models["Shop"].replicas[0].address == said["grpc"]
        assert await asyncio.to_thread(_get, said["admin"], "ready") == "ready\n"
        config = json.loads(await asyncio.to_thread(_get, said["admin"], "config"))
        assert (config["role"], config["only"]) == ("host", "('Shop',)")
        assert "inferloom_host_loads 1.0" in await asyncio.to_thread(_get, said["admin"], "metrics")


def _get(address: str, what: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{address}/{what}", timeout=5) as answer:
        text: str = answer.read().decode()
        return text
