"""All that the metrics of a mesh tell, asked of real processes: Consul, router, host, sidecar with its Triton, and Envoy
with its control plane in front. The GPU is a stand-in for nvidia-smi; the rest is what it is."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import aiohttp
import numpy as np
import pytest

from inferloom.clients.aio import MeshClient
from inferloom.mesh.errors import InferloomError
from inferloom.mesh.registry.consul import ConsulRegistry
from monitoring.scene import Scene
from tests.support.caller import infer_request, slow_request, stub
from tests.support.load import outcome_of

SMI = '#!/bin/sh\necho "GPU-1, 40, 1000, 80000, 300"\n'
EXPLAIN = (("x-inferloom-explain", "1"),)  # has the edge give it to the router

# Metric, where it is asked, labels it must have (there may be more), and what its value must be above.
TOLD = [
    # requests and latency by model, version, replica and code
    ("inferloom_request_duration_seconds_count", "control", {"model": "slow", "code": "OK"}, 0),
    ("inferloom_request_duration_seconds_count", "control", {"model": "slow", "code": "INVALID_ARGUMENT"}, 0),
    ("inferloom_request_duration_seconds_count", "router", {"model": "slow", "version": "1", "code": "OK"}, 0),
    ("inferloom_request_duration_seconds_bucket", "control", {"model": "slow", "le": "+Inf"}, 0),
    ("inferloom_attempt_duration_seconds_count", "router", {"model": "slow", "replica": "t0", "code": "OK"}, 0),
    ("inferloom_edge_attempts_total", "control", {"model": "slow", "replica": "t0", "result": "answered"}, 0),
    ("inferloom_host_call_duration_seconds_count", "host", {}, 0),
    # time in each layer
    ("inferloom_layer_seconds_total", "router", {"model": "slow", "layer": "attempt"}, 0),
    ("inferloom_layer_seconds_total", "router", {"model": "slow", "layer": "admission"}, 0),
    # in flight, queue, batch sizes
    ("inferloom_replica_in_flight", "control", {"model": "slow", "replica": "t0"}, 0),
    ("inferloom_replica_in_flight", "router", {"model": "slow", "replica": "t0"}, -1),
    ("inferloom_in_flight_requests", "router", {}, -1),
    ("inferloom_host_ongoing", "host", {}, -1),
    ("inferloom_host_queue_seconds_count", "host", {}, 0),
    ("inferloom_batch_rows_count", "pipelines", {"pipeline": "line"}, 0),
    ("inferloom_batch_rows_sum", "pipelines", {"pipeline": "line"}, 0),
    ("nv_inference_pending_request_count", "sidecar-0", {"model": "slow", "replica": "t0"}, -1),
    ("nv_inference_count", "sidecar-0", {"model": "slow", "replica": "t0"}, 0),
    ("nv_inference_exec_count", "sidecar-0", {"model": "slow", "replica": "t0"}, 0),
    # retries and what is left of their budget
    ("inferloom_retry_budget_tokens", "router", {"model": "slow"}, 0),
    ("inferloom_retries_total", "control", {"model": "slow"}, -1),
    # states of replicas, age of the registry, lag of watches
    ("inferloom_replica_state", "router", {"model": "slow", "replica": "t0", "state": "closed"}, 0),
    ("inferloom_replica_state", "control", {"model": "slow", "replica": "t0", "state": "closed"}, 0),
    ("inferloom_replica_registered", "router", {"model": "slow", "replica": "t0", "state": "serving"}, 0),
    ("inferloom_catalog_age_seconds", "router", {}, -1),
    ("inferloom_catalog_fresh", "control", {}, 0),
    ("inferloom_watch_lag_seconds_count", "router", {"kind": "policy"}, 0),
    # acknowledgements over xDS
    ("inferloom_xds_acks_total", "control", {"type": "clusters"}, 0),
    ("inferloom_xds_nacks_total", "control", {"type": "clusters"}, -1),
    ("inferloom_xds_edges", "control", {}, 0),
    # arms of splits
    ("inferloom_split_requests_total", "router", {"split": "Price", "arm": "old", "code": "OK"}, 0),
    ("inferloom_split_requests_total", "router", {"split": "Price", "arm": "new", "code": "OK"}, 0),
    # what mirrors answered
    ("inferloom_split_mirrored_total", "router", {"split": "PriceNew", "arm": "shadow", "result": "agreed"}, 0),
    ("inferloom_split_mirror_difference_count", "router", {"split": "PriceNew", "arm": "shadow"}, 0),
    # what the GPUs do, by model and replica
    ("inferloom_gpu_utilization_ratio", "sidecar-0", {"replica": "t0", "gpu": "GPU-1"}, 0.3),
    ("inferloom_model_gpu", "sidecar-0", {"model": "slow", "replica": "t0", "gpu": "GPU-1"}, 0),
    ("inferloom_model_gpu_seconds_total", "sidecar-0", {"model": "slow", "replica": "t0"}, 0),
]
LINE = {
    "inputs": [
        {"name": "seconds", "datatype": "FP32", "shape": [-1, 1]},
        {"name": "key", "datatype": "INT32", "shape": [-1, 1]},
    ],
    "outputs": [{"name": "key", "source": "wait.key"}],
    "nodes": [{"name": "wait", "step": {"model": "slow", "inputs": {"seconds": "input.seconds", "key": "input.key"}}}],
}
MIRRORED = {"arms": [{"name": "1", "share": 1}, {"name": "shadow", "mirror": True, "model": "PriceShadow"}]}


@pytest.fixture
def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(SMI)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


def missing(found: dict[str, float]) -> list[str]:
    """What of TOLD is not there."""
    lacking = []
    for name, instance, labels, above in TOLD:
        wanted = [f'{key}="{value}"' for key, value in {**labels, "instance": instance}.items()]
        values = [v for key, v in found.items() if key.startswith(f"{name}{{") and all(part in key for part in wanted)]
        if not values or max(values) <= above:
            lacking.append(f"{name} of {instance} {labels}: {values}")
    return lacking


async def known(scene: Scene, model: str) -> None:
    """Wait until the mesh answers for a model."""
    end = time.monotonic() + 30
    async with MeshClient(scene.address, timeout=5.0) as mesh:
        while True:
            try:
                await mesh.infer(model, {"seconds": [[0.0]], "key": [[0]]})
                return
            except InferloomError:
                assert time.monotonic() < end
            await asyncio.sleep(0.1)


async def ask(scene: Scene) -> None:
    async with stub(scene.address) as face, MeshClient(scene.address, timeout=5.0) as mesh:
        named = slow_request(0.01, 2)
        named.model_version = "1"
        while True:
            slow = face.ModelInfer(slow_request(0.4, 1))
            await face.ModelInfer(named, metadata=EXPLAIN)
            await outcome_of(face.ModelInfer(infer_request("slow", nothing=np.array([1.0], np.float32))))
            for _ in range(4):
                await mesh.infer("Price", {"amount": 1.0})
            await mesh.infer("PriceNew", {"amount": 1.0})
            await mesh.infer("line", {"seconds": [[0.0]], "key": [[3]]})
            await slow


@pytest.mark.usefixtures("gpu")
async def test_the_metrics_of_a_mesh_tell_all_that_they_promise(tmp_path: Path) -> None:
    scene = Scene(tmp_path, tritons=1, services=True, gateway=True)
    asking: asyncio.Task[None] | None = None
    try:
        await scene.begin()
        assert scene.consul is not None
        documents = ConsulRegistry.from_environment(scene.consul.address)
        await documents.start()
        await documents.documents.put("policy", "slow", {"objective": {"availability": 99.0}})
        await documents.documents.put("pipeline", "line", LINE)
        await documents.documents.put("split", "PriceNew", MIRRORED)
        await documents.close()
        await scene.role("pipelines", "host", "--pipelines", "--registry", f"consul://{scene.consul.address}")
        await known(scene, "line")
        asking = asyncio.create_task(ask(scene))
        end = time.monotonic() + 60
        async with aiohttp.ClientSession() as session:
            while lacking := missing(await scene.scrape(session)):
                assert not asking.done(), asking.exception()
                assert time.monotonic() < end, "\n".join(lacking)
                await asyncio.sleep(0.2)
            for name in ("host", "sidecar-0", "control"):
                url = f"http://{scene.admins[name]}/loglevel"
                async with session.post(url, data="debug") as answer:
                    assert (answer.status, await answer.text()) == (200, "debug\n"), name
                async with session.get(url) as answer:
                    assert await answer.text() == "debug\n", name
    finally:
        if asking is not None:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        await scene.end()
