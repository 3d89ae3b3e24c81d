"""`inferloom export helm` and `export apply`: a mesh with code, as values, and as documents in a real Consul."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from inferloom.cli.export import export_helm
from inferloom.mesh.registry.consul import ConsulRegistry
from tests.support.consul import Consul
from tests.support.helm import container, lint, render
from tests.support.host import client, eventually, running_host
from tests.support.router import running_mesh

pytest_plugins = ("tests.support.consul_fixtures",)

DOUBLES = """
from inferloom.sdk import service


@service(idempotent=True, replicas=2, env={"MODE": "live"})
class Doubles:
    async def predict(self, x: int) -> int:
        return 2 * x
"""
SHOP = """
from inferloom.sdk import Outputs, model, pipeline, step

doubles = model("Doubles")


@step
def more(x: int) -> int:
    return x + 1


@pipeline("more-than-double")
def more_than_double(x: int) -> Outputs:
    return Outputs(result=more(x=doubles(x=x).result))
"""


def shop(folder: Path) -> Path:
    folder.mkdir()
    (folder / "doubles.py").write_text(DOUBLES)
    (folder / "shop.py").write_text(SHOP)
    entries = [{"kind": "app", "name": name, "spec": {"source": f"{name}.py"}} for name in ("doubles", "shop")]
    (folder / "mesh.yaml").write_text(yaml.safe_dump(entries))
    return folder


async def inferloom(*arguments: str | Path, cwd: Path) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "inferloom.cli", *map(str, arguments)),
        cwd=cwd,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_a_mesh_with_code_renders_with_the_values_that_are_exported(tmp_path: Path) -> None:
    status, out, err = await inferloom("export", "helm", shop(tmp_path / "shop"), cwd=tmp_path)
    assert (status, err) == (0, "")
    values: dict[str, Any] = yaml.safe_load(out)
    assert lint(values) == []
    rendered = render(values)
    host = container(rendered.pod("mesh-inferloom-host-doubles"), "host")
    revision = values["documents"][0]["spec"]["versions"]["1"]["revision"]
    assert host["image"] == f"shop:{revision}"
    assert host["args"][:3] == ["host", "doubles.py", "--only=Doubles"]
    assert {"name": "MODE", "value": "live"} in host["env"]
    assert rendered.one("Deployment", "mesh-inferloom-host-doubles")["spec"]["replicas"] == 2
    assert container(rendered.pod("mesh-inferloom-composer"), "host")["args"][1] == "shop.py"
    (documents,) = rendered.all("ConfigMap")
    written = json.loads(documents["data"]["documents.json"])
    assert {(each["kind"], each["name"]) for each in written} == {
        ("service", "Doubles"),
        ("pipeline", "more-than-double"),
    }


async def test_the_job_waits_for_what_pipelines_name_and_writes_once(
    consul: Consul, registries: Callable[..., ConsulRegistry], tmp_path: Path
) -> None:
    folder = shop(tmp_path / "shop")
    out, _ = await export_helm(folder)
    file = tmp_path / "documents.json"
    file.write_text(json.dumps(yaml.safe_load(out)["documents"]))
    apply = ("export", "apply", file, "--registry", f"consul://{consul.address}", "--source", "shop.py")

    status, _, err = await inferloom(*apply, cwd=folder)
    assert status == 2
    assert "Doubles" in err
    assert "nothing was applied" in err

    async with running_mesh(registry=registries()) as mesh, client(mesh.address) as caller:
        waiting = asyncio.create_task(inferloom(*apply, "--wait", "60", cwd=folder))
        async with (
            running_host(registries(), folder / "doubles.py"),
            running_host(registries(), folder / "shop.py", pipelines=True),
        ):
            status, out, err = await waiting
            assert status == 0, err
            assert out.splitlines() == ["service Doubles: new, version 1", "pipeline more-than-double: new, version 1"]
            await eventually(lambda: "more-than-double" in mesh.router.pool.groups)
            answer = await caller.infer("more-than-double", {"x": 20})
            assert answer["result"].tolist() == [41]
            _, again, _ = await inferloom(*apply, cwd=folder)
            assert [line.partition(": ")[2] for line in again.splitlines()] == ["unchanged (version 1)"] * 2
