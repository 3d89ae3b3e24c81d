"""A real router in front of real Tritons."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from inferloom.mesh.catalog import Model, Replica
from inferloom.mesh.listen import Address
from inferloom.mesh.policy import TrafficPolicy
from inferloom.mesh.registry.base import Registry
from inferloom.mesh.registry.memory import MemoryRegistration, MemoryRegistry
from inferloom.mesh.resilience.health import BreakerState
from inferloom.mesh.router.router import Router, RouterSettings
from inferloom.mesh.router.server import RouterServer, ServerSettings
from inferloom.mesh.telemetry.tracing import Tracing
from inferloom.sidecar import shared_memory
from inferloom.sidecar.ports import free_ports
from tests.support.triton import Triton, running_triton

__all__ = ["LOOPBACK", "MODELS", "Log", "Mesh", "Server", "running_mesh", "running_server", "running_servers"]

MODELS = Path(__file__).parents[1] / "data" / "repository"
LOOPBACK = Address("127.0.0.1", 0)
ON_LOOPBACK = ServerSettings(address=LOOPBACK)
SETTINGS = RouterSettings()
VERSIONS = {"versioned": ("1", "2")}


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
    def http_port(self) -> int:
        """Of its REST face; another one after each start."""
        assert self._triton is not None
        return int(self._triton.http.rpartition(":")[2])

    @property
    def metrics_port(self) -> int:
        """Of its metrics; another one after each start."""
        assert self._triton is not None
        return self._triton.metrics

    @property
    def pid(self) -> int:
        assert self._triton is not None
        return self._triton.pid

    @property
    def running(self) -> bool:
        """Whether its process lives, frozen or not."""
        try:
            return self._triton is not None and psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

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
        alive = self.running
        if alive:
            self.thaw()
        else:
            self.stop()
        for log in self.repository.glob("*/log"):
            log.write_text("")
        if not alive:
            self.start()

    def freeze(self) -> None:
        """SIGSTOP, and wait until each of its threads has taken notice."""
        os.kill(self.pid, signal.SIGSTOP)
        end = time.monotonic() + 5
        while any(_state(task) not in "TZ" for task in Path(f"/proc/{self.pid}/task").iterdir()):
            assert time.monotonic() < end, f"process {self.pid} does not stop"
            time.sleep(0.001)

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


def _state(task: Path) -> str:
    """The letter of a thread's state; Z where it has ended meanwhile."""
    try:
        return (task / "stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "Z"


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

    async def settled(self) -> None:
        """Return once each connection is up, or known to be refused."""
        endpoints = [each for group in self.router.pool.groups.values() for each in group.endpoints.values()]
        end = time.monotonic() + 5
        while not all(each.channel.connected or each.health.state is BreakerState.OPEN for each in endpoints):
            assert time.monotonic() < end, endpoints
            await asyncio.sleep(0.01)

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
    settings: RouterSettings = SETTINGS,
    server: ServerSettings = ON_LOOPBACK,
    policy: Callable[[Model], TrafficPolicy] | None = None,
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
        await mesh.settled()
        yield mesh
    finally:
        await face.drain(0.0)
        await router.close()
