"""`inferloom export helm` and `export apply`: a mesh with code, as values, and as documents in a real Consul."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

from inferloom.cli.apply_direct import read_documents
from inferloom.cli.export import export_helm
from inferloom.cli.up.declared import declared
from inferloom.mesh.registry.consul import ConsulRegistry
from tests.support.consul import Consul
from tests.support.helm import container, lint, refusal, render
from tests.support.host import client, eventually, running_host
from tests.support.router import running_mesh
from tests.support.up import DATA

pytest_plugins = ("tests.support.consul_fixtures",)

DIGITS = Path(__file__).parents[2] / "examples" / "digits"
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


PAGE = Path(__file__).parents[2] / "docs" / "kubernetes.md"
# Helm is here as a library, which has its engine and no command line: these are the page's commands, done by it.
LINT = "helm lint helm/inferloom --strict --values values.yaml"
TEMPLATE = "helm template mesh helm/inferloom --namespace ml --values values.yaml"
REFUSED = "helm template mesh helm/inferloom --set router.replica=2"


async def test_the_helm_commands_of_the_documentation_do_what_it_shows() -> None:
    page = PAGE.read_text()
    shown = re.findall(r"^(helm (?:lint|template) .*)$", page, re.MULTILINE)
    assert shown == [LINT, TEMPLATE, REFUSED]
    out, _ = await export_helm(DIGITS, "registry.example/digits")
    values: dict[str, Any] = yaml.safe_load(out)
    assert lint(values) == []
    assert render(values).objects
    text = page.partition(REFUSED)[2].partition("```text\n...")[2].partition("```")[0]
    setting = REFUSED.rpartition(" ")[2]
    assert refusal(helm_python.parse_set_string(setting)).strip() == text.strip()


LOCATED = ("source", "warmup", "revision")  # of a version: where it lies, which is elsewhere in an image


async def test_what_is_exported_and_rendered_is_the_mesh_document_for_document(tmp_path: Path) -> None:
    """Beside what `inferloom up` writes into its registry for the same folder."""
    folder = tmp_path / "digits"
    shutil.copytree(DIGITS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    more = [
        {"kind": "split", "name": "digits-svm", "spec": {"by": "user", "arms": [{"name": "1", "share": 100}]}},
        {"kind": "policy", "name": "digits-mlp", "spec": {"timeout": "750ms", "retry": {"attempts": 2}}},
    ]
    with (folder / "mesh.yaml").open("a") as file:
        file.write(yaml.safe_dump(more))
    wanted = (await declared(folder)).documents("kubernetes")
    kept = {key: spec for key, spec in wanted.items() if key[0] != "app"}
    assert {kind for kind, _ in kept} == {"model", "pipeline", "split", "policy"}

    out, _ = await export_helm(folder)
    values: dict[str, Any] = yaml.safe_load(out)
    assert lint(values) == []
    rendered = render(values)
    (config,) = rendered.all("ConfigMap")
    (tmp_path / "documents.json").write_text(config["data"]["documents.json"])
    found = read_documents(tmp_path / "documents.json")  # as the Job reads them
    (tmp_path / "values.yaml").write_text(out)
    assert read_documents(tmp_path / "values.yaml") == found

    assert found.keys() == kept.keys()
    revision = values["models"]["digits-svm"]["repository"]["image"].rpartition(":")[2]
    for key, spec in kept.items():
        if key[0] != "model":
            assert found[key] == spec
            continue
        versions = found[key]["versions"]
        assert {**found[key], "versions": {}} == {**spec, "versions": {}}
        assert versions.keys() == spec["versions"].keys()
        for number, version in spec["versions"].items():
            same = {name: value for name, value in versions[number].items() if name not in LOCATED}
            assert same == {name: value for name, value in version.items() if name not in LOCATED}
            assert versions[number]["revision"] == revision
        deployment = rendered.one("Deployment", f"mesh-inferloom-model-{key[1]}")
        assert deployment["spec"]["replicas"] == spec["replicas"]
    assert {d["metadata"]["name"] for d in rendered.all("Deployment")} == {
        "mesh-inferloom-router",
        "mesh-inferloom-composer",
        *(f"mesh-inferloom-model-{name}" for kind, name in kept if kind == "model"),
    }


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ([{"kind": "mesh", "name": "m", "spec": {"registry": "memory"}}], "registry: memory lives inside one process"),
        ([{"kind": "model", "name": "iris", "spec": {"source": "../iris.onnx"}}], "iris.onnx lies outside"),
        ([{"kind": "app", "name": "shop", "spec": {"source": "../shop.py"}}], "shop.py lies outside"),
    ],
    ids=["a memory registry", "a model outside the folder", "code outside the folder"],
)
async def test_what_cannot_be_exported_is_refused_by_the_command_in_one_line(
    tmp_path: Path, entries: list[dict[str, Any]], says: str
) -> None:
    (tmp_path / "shop").mkdir()
    shutil.copy(DATA / "iris.onnx", tmp_path / "iris.onnx")
    (tmp_path / "shop.py").write_text(DOUBLES)
    if entries[0]["kind"] == "mesh":
        shutil.copy(DATA / "iris.onnx", tmp_path / "shop" / "iris.onnx")
        entries = [*entries, {"kind": "model", "name": "iris", "spec": {"source": "iris.onnx"}}]
    (tmp_path / "shop" / "mesh.yaml").write_text(yaml.safe_dump(entries))
    status, out, err = await inferloom("export", "helm", tmp_path / "shop", cwd=tmp_path)
    assert (status, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith("inferloom: ")
    assert says in line


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
