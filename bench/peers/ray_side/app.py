"""The three-stage pipeline and the ensemble of four as Ray Serve deployments. Runs in Ray's own virtual environment.

    python app.py PORT WORK_MS plain|stages|ingress [BATCH_WAIT_MS]

Each stage is a deployment with one replica that adds its number with numpy, in its own process: no Triton behind it, which
favours Ray. WORK_MS is slept per batch, one batch at a time, as the models of `bench.repository` do. Requests are the same
ModelInfer messages that inferloom gets. `stages` puts `@serve.batch` on each stage; `ingress` puts it on the ingress,
which then sends whole batches from stage to stage.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import ray
from ray import serve
from ray.serve.config import gRPCOptions
from tritonclient.grpc import service_pb2

OPTIONS: dict[str, Any] = {
    "num_replicas": 1,
    "max_ongoing_requests": 1000,  # Ray's default of 5 would queue most of 64 before the stage
    "ray_actor_options": {"num_cpus": 0},
}
SERVICER = "tritonclient.grpc.service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server"
MAX_BATCH = 64


Rows = np.ndarray[Any, Any]


def stage(number: int, work_s: float, wait_s: float | None) -> Any:
    """The deployment that adds `number`; with `@serve.batch` where there is a wait."""

    class Plain:
        def __init__(self) -> None:
            self._one_at_a_time = asyncio.Lock()

        async def __call__(self, x: Rows) -> Rows:
            if work_s:
                async with self._one_at_a_time:
                    await asyncio.sleep(work_s)
            return x + np.float32(number)

    class Batched:
        @serve.batch(max_batch_size=MAX_BATCH, batch_wait_timeout_s=wait_s or 0.0)
        async def __call__(self, rows: list[Rows]) -> list[Rows]:
            if work_s:
                await asyncio.sleep(work_s)
            return list(np.split(np.concatenate(rows) + np.float32(number), len(rows)))

    kind = Plain if wait_s is None else Batched
    return serve.deployment(name=f"Stage{number}", **OPTIONS)(kind).bind()


def ingress(stages: Sequence[Any], wait_s: float | None) -> Any:
    """The deployment that answers ModelInfer; with `@serve.batch` of its own where there is a wait."""

    class Plain:
        def __init__(self, *stages: Any) -> None:
            self._stages = stages

        async def ModelInfer(self, request: Any) -> Any:  # noqa: N802
            return answered(request, await self._run(request.model_name, rows_of(request)))

        async def _run(self, name: str, x: Rows) -> Rows:
            if name.startswith("one"):  # no stage at all: the least that Ray can do for a request
                return x + np.float32(1)
            if name.startswith("three"):
                first, second, third, _ = self._stages
                y: Rows = await third.remote(await second.remote(await first.remote(x)))
                return y
            return np.mean(await asyncio.gather(*(member.remote(x) for member in self._stages)), axis=0)

    class Batched(Plain):
        async def ModelInfer(self, request: Any) -> Any:  # noqa: N802
            name, x = request.model_name, rows_of(request)
            if name.startswith("one"):
                return answered(request, await self._run(name, x))
            return answered(request, await (self._three(x) if name.startswith("three") else self._four(x)))

        @serve.batch(max_batch_size=MAX_BATCH, batch_wait_timeout_s=wait_s or 0.0, max_concurrent_batches=1)
        async def _three(self, rows: list[Rows]) -> list[Rows]:
            return list(np.split(await self._run("three", np.concatenate(rows)), len(rows)))

        @serve.batch(max_batch_size=MAX_BATCH, batch_wait_timeout_s=wait_s or 0.0, max_concurrent_batches=1)
        async def _four(self, rows: list[Rows]) -> list[Rows]:
            return list(np.split(await self._run("four", np.concatenate(rows)), len(rows)))

    kind = Plain if wait_s is None else Batched
    return serve.deployment(name="Ingress", **OPTIONS)(kind).bind(*stages)


def rows_of(request: Any) -> Rows:
    """FP32 [1, 16] of a ModelInferRequest."""
    return np.frombuffer(request.raw_input_contents[0], np.float32).reshape(1, -1)


def answered(request: Any, y: Rows) -> Any:
    response = service_pb2.ModelInferResponse(model_name=request.model_name, model_version="1")
    response.outputs.add(name="y", datatype="FP32", shape=y.shape)
    response.raw_output_contents.append(y.astype(np.float32).tobytes())
    return response


def main() -> None:
    port, work_s = int(sys.argv[1]), float(sys.argv[2]) / 1e3
    batching = sys.argv[3]
    wait_s = float(sys.argv[4]) / 1e3 if batching != "plain" else None
    ray.init(num_cpus=8, include_dashboard=False, _node_ip_address="127.0.0.1", log_to_driver=False)
    serve.start(grpc_options=gRPCOptions(port=port, grpc_servicer_functions=[SERVICER]))
    stages = [stage(number, work_s, wait_s if batching == "stages" else None) for number in (1, 2, 3, 4)]
    serve.run(ingress(stages, wait_s if batching == "ingress" else None))
    print("ready", flush=True)
    done = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: done.set())
    done.wait()
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main()
