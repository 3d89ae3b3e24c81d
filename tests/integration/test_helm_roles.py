"""The chart's own command lines, run: a mesh that answers, over connections that the policies allow, and that drains."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from inferloom.cli.build import build
from inferloom.cli.export import export_helm
from inferloom.sdk import MeshClient
from tests.support.consul import Consul
from tests.support.helm import Rendered, render
from tests.support.helm_pods import HASH, Connection, Pods, allows
from tests.support.up import DATA

pytest_plugins = ("tests.support.consul_fixtures",)

NAME = "mesh-inferloom"
IN_FLIGHT = "inferloom_replica_in_flight"
APP = """
from typing import Annotated

import numpy as np
import numpy.typing as npt
from inferloom.sdk import Outputs, model, pipeline, service, shape

iris = model("iris", source="iris.onnx")


@service
class Petals:
    async def predict(self, sizes: list[float]) -> int:
        out = await iris(X=np.array([sizes], np.float32))
        return int(out.label.item())


@pipeline("both")
def both(sizes: Annotated[npt.NDArray[np.float32], shape(-1, 4)]) -> Outputs:
    return Outputs(label=iris(X=sizes).label)
"""
SIZES = np.array([[5.1, 3.5, 1.4, 0.2]], np.float32)


async def exported(folder: Path, gateway: str) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    (folder / "app.py").write_text(APP)
    shutil.copy(DATA / "iris.onnx", folder / "iris.onnx")
    documents = [
        {"kind": "mesh", "name": "flowers", "spec": {"gateway": gateway}},
        {"kind": "app", "name": "app", "spec": {"source": "app.py"}},
    ]
    (folder / "mesh.yaml").write_text(yaml.safe_dump(documents))
    made: dict[str, Any] = yaml.safe_load((await export_helm(folder))[0])
    return made


def queries(values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What KEDA would ask, by the Deployment it scales, with an edge and without."""
    scaling = {"autoscaling": {"kind": "keda"}}
    scaled = {key: {**values.get(key, {}), **scaling} for key in ("router", "composer", "hostDefaults", "defaults")}
    for enabled in (True, False):
        seen = {"edge": {"enabled": enabled}, "monitoring": {"prometheus": "http://prometheus:9090"}}
        for each in render(values | scaled | seen).all("ScaledObject"):
            (trigger,) = each["spec"]["triggers"]
            yield each["spec"]["scaleTargetRef"]["name"], trigger["metadata"]["query"]


def labels(rendered: Rendered, component: str) -> dict[str, str]:
    if component == "consul":
        (agent,) = rendered.all("StatefulSet")
        return dict(agent["spec"]["template"]["metadata"]["labels"])
    found = [d["spec"]["template"]["metadata"]["labels"] for d in rendered.all("Deployment")]
    (own,) = [each for each in found if each["app.kubernetes.io/component"] == component]
    return dict(own)


@pytest.fixture
async def values(tmp_path: Path) -> dict[str, Any]:
    return await exported(tmp_path / "flowers", "envoy")


@pytest.fixture
async def pods(values: dict[str, Any], consul: Consul, tmp_path: Path) -> AsyncIterator[Pods]:
    """Every role of an exported mesh, ready; the documents are written by the Job's own arguments."""
    rendered = render(values)
    built = await build(tmp_path / "flowers", tmp_path / "built")
    shutil.copytree(built.folder / "models", tmp_path / "models")
    running = Pods(rendered, tmp_path, consul.address, {f"{NAME}-router": "router"})
    try:
        app = built.folder / "app"
        running.start(f"{NAME}-model-iris", "triton")
        running.start(f"{NAME}-router", "router")
        running.start(f"{NAME}-edge", "control")
        await running.ready("model", "triton", 8000, "/v2/health/live")
        running.start(f"{NAME}-model-iris", "sidecar")
        running.start(f"{NAME}-host-petals", "host", cwd=app)
        running.start(f"{NAME}-composer", "host", cwd=app)
        running.start(f"{NAME}-edge", "edge")
        for component, name in ENDING[1:-1]:
            await running.ready(component, name, 9100)
        await running.ready("edge", "edge", 9901)
        await running.job(cwd=app)
        yield running
    finally:
        running.end()


async def test_the_exported_mesh_runs_by_the_charts_own_command_lines(
    values: dict[str, Any], pods: Pods, consul: Consul
) -> None:
    seen: set[Connection] = set()
    edge = pods.address("edge")
    async with MeshClient(f"{edge}:8081") as mesh, asyncio.timeout(120):
        for name in ("iris", "both", "Petals"):  # the Job is done before those that follow its documents are
            while not await mesh.ready(name):
                await asyncio.sleep(0.1)
        assert (await mesh.infer("iris", {"X": SIZES}))["label"].ravel().tolist() == [0]
        assert (await mesh.infer("both", {"sizes": SIZES}))["label"].ravel().tolist() == [0]
        assert (await mesh.infer("Petals", {"sizes": SIZES[0].tolist()}))["result"].tolist() == [0]
        assert await posted(f"http://{edge}:8081/v1/Petals", {"sizes": SIZES[0].tolist()}) == 0
        asked = {"inputs": [{"name": "X", "shape": [1, 4], "datatype": "FP32", "data": SIZES[0].tolist()}]}
        answered = await posted(f"http://{edge}:8081/v2/models/iris/infer", asked)
        assert [each["data"] for each in answered["outputs"] if each["name"] == "label"] == [[0]]
        while not seen >= EXPECTED:
            seen |= pods.connections() | await pods.checked(consul)
            await asyncio.sleep(0.1)
    policies = pods.rendered
    assert [
        (caller, called, port)
        for caller, called, port in sorted(seen)
        if not allows(policies, labels(policies, caller), labels(policies, called), port)
    ] == []
    assert not allows(policies, labels(policies, "consul"), labels(policies, "model"), 8001)

    samples = await pods.samples()
    async with asyncio.timeout(
        30
    ):  # a control plane reads its edge every three seconds, a sidecar its Triton every five
        while not any("edge" in each for name, each in samples if name == IN_FLIGHT) or not tritons(samples):
            samples = await pods.samples()
    assert tritons(samples) == [f"{NAME}-model-iris-{HASH}"]
    for scaled, query in queries(values):
        metric, matchers = re.findall(r"(\w+)\{(.*)\}", query)[0]
        wanted = re.findall(r'(\w+)=~?"(.*?)"', matchers)
        found = [each for name, each in samples if name == metric]
        chosen = [each for each in found if all(re.fullmatch(pattern, each.get(key, "")) for key, pattern in wanted)]
        own = {each.get("replica", each["pod"]).rsplit("-", 2)[0] for each in chosen}
        assert own == {scaled}, (query, found)
        if metric == IN_FLIGHT:  # who calls it counts: hosts, a router, and a control plane for its edge
            assert {each["pod"].rsplit("-", 2)[0] for each in chosen} >= {f"{NAME}-router", f"{NAME}-edge"}

    probes = ("startupProbe", "livenessProbe", "readinessProbe")
    assert [pods.probe(f"{NAME}-edge", "edge", probe) for probe in probes] == [0, 0, 0]
    for component, name in ENDING:
        assert pods.terminate(component, name) == 0, pods.log(component, name)
    assert 0 not in [pods.probe(f"{NAME}-edge", "edge", probe) for probe in probes]


EXPECTED: set[Connection] = {
    ("edge", "model", 8001),
    ("edge", "model", 8000),
    ("edge", "router", 8081),
    ("edge", "router", 8080),
    ("router", "model", 8001),
    ("edge", "host", 8081),
    ("edge", "composer", 8081),
    ("router", "host", 8081),
    ("router", "composer", 8081),
    ("host", "model", 8001),
    ("composer", "model", 8001),
    ("consul", "model", 9102),
    ("consul", "host", 8081),
    ("consul", "composer", 8081),
}


def tritons(samples: list[tuple[str, dict[str, str]]]) -> list[str]:
    """The pods that tell Triton's count of requests to iris."""
    return [each["pod"] for name, each in samples if name == "nv_inference_request_success" and each["model"] == "iris"]


# As Kubernetes ends them: within a pod the ordinary container before the init containers that stay.
ENDING = [
    ("edge", "edge"),
    ("edge", "control"),
    ("router", "router"),
    ("host", "host"),
    ("composer", "host"),
    ("model", "sidecar"),
    ("model", "triton"),
]


async def posted(url: str, body: Any) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return json.loads(await asyncio.to_thread(lambda: opener.open(request, timeout=20).read()))
