"""A real router in front of real Tritons."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
import psutil
from tritonclient.grpc import service_pb2_grpc

from inferloom.mesh.catalog import Replica
from inferloom.mesh.listen import Address
from inferloom.mesh.oip import pb
from inferloom.mesh.policy import TrafficPolicy
from inferloom.mesh.registry.base import Registry
from inferloom.mesh.registry.memory import MemoryRegistration, MemoryRegistry
from inferloom.mesh.router.router import Router, RouterSettings
from inferloom.mesh.router.server import RouterServer, ServerSettings
from inferloom.mesh.telemetry.tracing import Tracing
from inferloom.sidecar import shared_memory
from inferloom.sidecar.ports import free_ports
from tests.support.triton import Triton, running_triton

__all__ = [
    "MODELS",
    "Log",
    "Mesh",
    "Server",
    "infer_request",
    "read",
    "running_mesh",
    "running_server",
    "running_servers",
    "stub",
]

MODELS = Path(__file__).parents[1] / "data" / "repository"
LOOPBACK = Address("127.0.0.1", 0)
VERSIONS = {"versioned": ("1", "2")}
TYPES = {"float32": "FP32", "int32": "INT32", "object": "BYTES"}

Array = npt.NDArray[Any]


class Server:
    """A Triton that can be killed, frozen and started again, always on the same gRPC port."""

    def __init__(self, folder: Path, models: Sequence[str], extra: Sequence[str] = ()) -> None:
        self.repository = folder / "models"
        self.models = tuple(models)
        for model in models:
            shutil.copytree(MODELS / model, self.repository / model, ignore=shutil.ignore_patterns("__pycache__"))
        self.port = free_ports(1)[0]
        self._extra = tuple(extra)
        self._memory = shared_memory.prefix()
        self._stack = ExitStack()
        self._triton: Triton | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._triton is not None
        return self._triton.pid

    def start(self) -> None:
        options = ("--load-model=*", f"--grpc-port={self.port}", *shared_memory.options(self._memory), *self._extra)
        log = self.repository.parent / "triton.log"
        try:
            self._triton = self._stack.enter_context(running_triton(self.repository, log, extra=options))
        except AssertionError:
            if b"lock_exception" not in log.read_bytes():
                raise
            # On a busy machine a model's process now and then loses a race for its shared memory: Triton's own.
            shared_memory.remove(self._memory)
            self._triton = self._stack.enter_context(running_triton(self.repository, log, extra=options))

    def kill(self) -> None:
        """SIGKILL to it and its models' processes."""
        os.killpg(self.pid, signal.SIGKILL)

    def heal(self) -> None:
        """Make it run again, and forget what its models have written down."""
        alive = self._triton is not None
        try:
            if alive:
                self.thaw()
                alive = psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE
        except (ProcessLookupError, psutil.NoSuchProcess):
            alive = False
        if not alive:
            self.stop()
        for log in self.repository.glob("*/log"):
            log.write_text("")
        if not alive:
            self.start()

    def freeze(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        """End it, however it is now, and at once: what it leaves in shared memory is removed here."""
        if self._triton is None:
            return
        with suppress(ProcessLookupError):  # the test has killed it
            self.kill()
        self._stack.close()
        self._triton = None
        shared_memory.remove(self._memory)

    def log(self, model: str = "slow") -> Log:
        """What the model wrote down."""
        path = self.repository / model / "log"
        return Log([line.split() for line in path.read_text().splitlines()] if path.exists() else [])


@dataclass(frozen=True, slots=True)
class Log:
    """Lines of the models `slow` and `tokens`: what happened, to which key, when (monotonic seconds)."""

    lines: list[list[str]]

    def keys(self, what: str) -> list[int]:
        """Keys to which this happened: "ran", "dropped" or "cancelled"."""
        return [int(line[1]) for line in self.lines if line[0] == what]

    def when(self, what: str) -> list[float]:
        return [float(line[2]) for line in self.lines if line[0] == what]


@contextmanager
def running_servers(
    folder: Path, count: int, models: Sequence[str], extra: Sequence[str] = ()
) -> Iterator[list[Server]]:
    """Several, started at once."""
    servers = [Server(folder / str(number), models, extra) for number in range(count)]
    with ThreadPoolExecutor(count) as pool:  # open to the end: Triton dies with the thread that started it
        try:
            for started in [pool.submit(server.start) for server in servers]:
                started.result()
            yield servers
        finally:
            for server in servers:
                server.stop()


@contextmanager
def running_server(folder: Path, models: Sequence[str], extra: Sequence[str] = ()) -> Iterator[Server]:
    """A Triton with models of tests/data/repository."""
    server = Server(folder, models, extra)
    try:
        server.start()
        yield server
    finally:
        server.stop()


class Mesh:
    """A router and the registry it reads."""

    def __init__(self, router: Router, server: RouterServer, registry: Registry) -> None:
        self.router = router
        self.server = server
        self.registry = registry
        self.registrations: dict[tuple[str, str], MemoryRegistration] = {}

    @property
    def address(self) -> str:
        return str(self.server.address)

    async def join(self, name: str, server: Server, **fields: Any) -> None:
        """Register every model of a Triton; `fields` change the record."""
        assert isinstance(self.registry, MemoryRegistry)
        for model in server.models:
            versions = VERSIONS.get(model, ("1",))
            record = replace(Replica(model, name, "127.0.0.1", server.port, versions=versions), **fields)
            self.registrations[model, name] = await self.registry.register(record)

    async def say(self, name: str, **fields: Any) -> None:
        """Change the records of one Triton, as its sidecar does."""
        for (_, other), registration in self.registrations.items():
            if other == name:
                await registration.update(replace(registration.replica, **fields))

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of that name with these labels."""
        samples = [sample for family in self.router.metrics.collect() for sample in family.samples]
        wanted = labels.items()
        return sum(float(s.value) for s in samples if s.name == name and wanted <= s.labels.items())

    def endpoint(self, model: str, name: str) -> Any:
        return self.router.pool.groups[model].endpoints[name]


@asynccontextmanager
async def running_mesh(
    servers: Mapping[str, Server] = {},
    *,
    registry: Registry | None = None,
    settings: RouterSettings = RouterSettings(),
    server: ServerSettings = ServerSettings(address=LOOPBACK),
    policy: Callable[[str], TrafficPolicy] | None = None,
    tracing: Tracing | None = None,
) -> AsyncIterator[Mesh]:
    """A router on a free port; the servers' names are their replica ids."""
    registry = registry or MemoryRegistry()
    router = Router(registry, settings=settings, policy=policy, tracing=tracing)
    face = RouterServer(router, server)
    mesh = Mesh(router, face, registry)
    for name, each in servers.items():
        await mesh.join(name, each)
    try:
        await router.start()
        await face.start()
        yield mesh
    finally:
        await face.drain(0.0)
        await router.close()


@asynccontextmanager
async def stub(
    address: str, *, most: int = -1, credentials: grpc.ChannelCredentials | None = None
) -> AsyncIterator[Any]:
    """A plain stub of the Open Inference Protocol; `stub.channel` is its channel."""
    options = [
        ("grpc.max_send_message_length", most),
        ("grpc.max_receive_message_length", -1),
        ("grpc.use_local_subchannel_pool", 1),
    ]
    if credentials is None:
        channel = grpc.aio.insecure_channel(address, options=options)
    else:
        channel = grpc.aio.secure_channel(address, credentials, options=options)
    async with channel:
        face = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        face.channel = channel
        yield face


def infer_request(model: str, id: str = "", parameters: Mapping[str, int | bool | str] = {}, **inputs: Any) -> Any:
    """A ModelInferRequest. An input is an array or a list: of float32, or of int32 where all are int."""
    request = pb.ModelInferRequest(model_name=model, id=id)
    for name, value in inputs.items():
        array = value if isinstance(value, np.ndarray) else _array(value)
        request.inputs.add(name=name, datatype=TYPES[str(array.dtype)], shape=array.shape)
        request.raw_input_contents.append(array.tobytes())
    for key, value in parameters.items():
        kind = "bool_param" if isinstance(value, bool) else "string_param" if isinstance(value, str) else "int64_param"
        setattr(request.parameters[key], kind, value)
    return request


def slow_request(seconds: float, key: int, **more: Any) -> Any:
    """One for the model `slow`."""
    inputs = {"seconds": np.array([[seconds]], np.float32), "key": np.array([[key]], np.int32)}
    return infer_request("slow", **inputs, **more)


def echo_request(values: Iterable[float] = (1.0, 2.0), model: str = "echo", **more: Any) -> Any:
    return infer_request(model, x=np.array([list(values)], np.float32), **more)


def token_request(count: int, seconds: float = 0.0, id: str = "") -> Any:
    """One for the decoupled model `tokens`."""
    inputs = {"count": np.array([count], np.int32), "seconds": np.array([seconds], np.float32)}
    return infer_request("tokens", id, **inputs)


def read(answer: Any, index: int = 0) -> list[float]:
    """The values of an answer's output, flat."""
    kind = np.int32 if answer.outputs[index].datatype == "INT32" else np.float32
    return np.frombuffer(answer.raw_output_contents[index], kind).tolist()  # type: ignore[no-any-return]


def _array(value: Any) -> Array:
    flat = np.array(value)
    return flat.astype(np.int32 if flat.dtype.kind == "i" else np.float32)


def listening_with_reuseport() -> socket.socket:
    """A socket that listens on a free port as a grpc server does by default: with SO_REUSEPORT."""
    other = socket.socket()
    other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    other.bind(("127.0.0.1", 0))
    other.listen()
    return other


class Talk:
    """One stream, message by message."""

    def __init__(self, face: Any, timeout: float | None = None) -> None:
        self.call = face.ModelStreamInfer(timeout=timeout)

    async def __aenter__(self) -> Talk:
        return self

    async def __aexit__(self, *exception: object) -> None:
        self.call.cancel()

    async def say(self, request: Any) -> None:
        await self.call.write(request)

    async def hear(self) -> Any:
        """The next answer."""
        answer = await asyncio.wait_for(self.call.read(), 10)
        assert answer is not grpc.aio.EOF, f"the stream ended: {await self.call.code()}"
        return answer
