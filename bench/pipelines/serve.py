"""What is measured, as users run it: `inferloom up` with all stages, the pipelines and the router."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import grpc
import psutil
import yaml

from bench import repository
from bench.paths import HOST
from bench.pipelines.subjects import KINDS, SERVICE, Subject, values
from bench.processes import alive, free_port, inferloom, running
from bench.wire import answered, check, framed, request
from inferloom.v1 import mesh_pb2, mesh_pb2_grpc

__all__ = ["APP", "Serving", "body", "serving"]

APP = Path(__file__).with_name("app.py")
START_S = 180.0  # until 20 models are loaded, each by a process of its own
ANSWER_S = 30.0
PAUSE_S = 0.2


@dataclass(frozen=True, slots=True)
class Serving:
    """Where each way leads, and the process of the host."""

    ports: Mapping[str, int]  # direct: Triton's; host: of the services and pipelines; router
    host_pid: int

    def reply_bytes(self, subject: Subject) -> int:
        """Of one framed answer, once it has answered rightly. RuntimeError where it does not."""

        def right(reply: bytes) -> bool:
            return subject.right(answered(reply))

        message = request(subject.name, values)
        return len(framed(check(f"{HOST}:{self.ports[subject.way]}", lambda: True, ANSWER_S, message, right)))


@contextlib.contextmanager
def serving(kinds: tuple[str, ...] = KINDS, gateway: str = "python") -> Iterator[Serving]:
    """Everything up, and ended on leaving.

    Raises:
        RuntimeError: something does not answer in time, or wrongly.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="inferloom-bench-")))
        repository.write(folder)
        models = [name for kind in kinds for name in repository.names(kind)]
        documents = [{"kind": "model", "name": name, "spec": {"source": name}} for name in models]
        documents.append({"kind": "app", "name": "bench", "spec": {"source": str(APP)}})
        (folder / "mesh.yaml").write_text(yaml.safe_dump(documents))
        port = free_port()
        env = {**os.environ, "INFERLOOM_BENCH_KINDS": " ".join(kinds)}
        argv = inferloom("up", str(folder), "--grpc", f"{HOST}:{port}", "--gateway", gateway)
        argv += ["--http", f"{HOST}:0"] if gateway == "python" else []
        process = stack.enter_context(running("inferloom up", argv, env))
        listed = _listed(port, process, [*models, SERVICE, *(f"four-{kind}" for kind in kinds)])
        ports = {"direct": listed[models[0]], "host": listed[SERVICE], "router": port}
        yield Serving(ports, _host_pid(process.pid))


def body(folder: Path, subject: Subject) -> Path:
    """The file that h2load sends."""
    path = folder / subject.name
    path.write_bytes(framed(request(subject.name, values)))
    return path


def _listed(port: int, process: subprocess.Popen[bytes], names: list[str]) -> dict[str, int]:
    """Name in the catalog -> port of its replica, once all of them are serving."""
    deadline = time.monotonic() + START_S
    with grpc.insecure_channel(f"{HOST}:{port}") as channel:
        stub = mesh_pb2_grpc.MeshServiceStub(channel)  # type: ignore[no-untyped-call]
        while True:
            with contextlib.suppress(grpc.RpcError):
                found = {
                    model.name: replica.port
                    for model in stub.ListModels(mesh_pb2.ListModelsRequest(), timeout=5).models
                    for replica in model.replicas
                    if replica.state == mesh_pb2.REPLICA_STATE_SERVING
                }
                missing = [name for name in names if name not in found]
                if not missing:
                    return found
            if time.monotonic() > deadline or not alive(process)():
                raise RuntimeError(f"`inferloom up` does not serve all that is measured within {START_S:.0f} s")
            time.sleep(PAUSE_S)


def _host_pid(root: int) -> int:
    """The child process that is `inferloom host`."""
    for child in psutil.Process(root).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "host" in child.cmdline()[1:5]:
                return int(child.pid)
    raise RuntimeError("`inferloom up` has started no host")
