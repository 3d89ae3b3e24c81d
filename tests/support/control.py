"""A control plane in this process, a real Envoy that it feeds, and replicas and a router that say who they are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import grpc

from inferloom.mesh.catalog import Replica
from inferloom.mesh.listen import Address, free_port
from inferloom.mesh.oip import MODEL_INFER, pb
from inferloom.mesh.registry.base import Registry
from inferloom.mesh.registry.memory import MemoryRegistry
from inferloom.mesh.router.methods import MethodTable
from inferloom.mesh.xds.bootstrap import BootstrapSettings, bootstrap
from inferloom.mesh.xds.control import ControlPlane, ControlSettings
from inferloom.mesh.xds.discovery import RDS
from inferloom.mesh.xds.edge_settings import EdgeSettings
from inferloom.mesh.xds.session import Session
from inferloom.mesh.xds.subscription import Subscription
from inferloom.mesh.xds.target import model_of
from inferloom.v1 import control_pb2, control_pb2_grpc
from tests.support.envoy import Envoy, running_envoy

__all__ = ["Backend", "Rig", "running_control", "until"]


class Backend:
    """Answers ModelInfer for every model with its own name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.calls = 0
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        handler = grpc.unary_unary_rpc_method_handler(self._infer)
        self._server.add_generic_rpc_handlers((MethodTable({MODEL_INFER.path: handler}, {}),))
        self.port = self._server.add_insecure_port("127.0.0.1:0")

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        await self._server.start()

    async def stop(self) -> None:
        await self._server.stop(0)

    async def _infer(self, request: bytes, context: Any) -> bytes:
        self.calls += 1
        name = pb.ModelInferRequest.FromString(request).model_name
        return bytes(pb.ModelInferResponse(model_name=self.name, id=name).SerializeToString())


class Rig:
    """Everything that a test moves. Ports of control plane and edge stay as they are when one is started again."""

    def __init__(self, registry: Registry, folder: Path, controls: int) -> None:
        self.registry = registry
        self.router, self.replica, self.other = Backend("router"), Backend("one"), Backend("two")
        self.edge = EdgeSettings(
            listen=Address("127.0.0.1", free_port()), router=self.router.address, http=f"127.0.0.1:{free_port()}"
        )
        self.controls = [Address("127.0.0.1", free_port()) for _ in range(controls)]
        self.planes: dict[int, ControlPlane] = {}
        self.envoy: Envoy | None = None
        self._folder = folder
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Rig:
        for backend in (self.router, self.replica, self.other):
            await backend.start()
            self._stack.push_async_callback(backend.stop)
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._stack.aclose()
        for number in tuple(self.planes):
            await self.stop_control(number)

    async def start_control(self, number: int = 0) -> ControlPlane:
        settings = ControlSettings(address=self.controls[number], edge=self.edge, write_token="t")
        plane = self.planes[number] = ControlPlane(self.registry, settings)
        await plane.start()
        return plane

    async def stop_control(self, number: int = 0) -> None:
        await self.planes.pop(number).close()

    async def start_envoy(self) -> Envoy:
        admin = Address("127.0.0.1", free_port())
        edge = BootstrapSettings(node="edge-1", admin=admin, control=tuple(self.controls), edge=self.edge)
        context = running_envoy(bootstrap(edge), self._folder)
        loop = asyncio.get_running_loop()
        self.envoy = await loop.run_in_executor(None, context.__enter__)
        self._stack.push_async_callback(asyncio.to_thread, context.__exit__, None, None, None)
        return self.envoy

    @property
    def session(self) -> Session:
        """Of the one edge that is connected."""
        [session] = [stream.session for plane in self.planes.values() for stream in plane.discovery.streams]
        return session

    def has(self, kind: str) -> Subscription:
        """What the edge has taken of a type."""
        return self.session.subscriptions[kind]

    def served(self) -> set[str]:
        """The models whose routes the edge has."""
        return {model_of(unit) for unit in self.has(RDS).have} - {"", "*"}

    async def connected(self) -> None:
        """Wait until the edge has been told all there is."""

        def whole() -> bool:
            streams = [each for plane in self.planes.values() for each in plane.discovery.streams]
            known = streams[0].session if len(streams) == 1 else None
            return known is not None and known.settled and RDS in known.subscriptions

        await until(whole, 15)

    async def join(self, model: str, backend: Backend | None = None, name: str = "a", **fields: Any) -> Any:
        """Register a replica; its registration."""
        port = (backend or self.replica).port
        fields = {"versions": ("1",)} | fields
        return await self.registry.register(Replica(model, name, "127.0.0.1", port, **fields))

    @asynccontextmanager
    async def caller(self) -> AsyncIterator[Callable[[str], Any]]:
        """Ask for a model: the name of who answered."""
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
        async with grpc.aio.insecure_channel(str(self.edge.listen), options=options) as channel:
            face: Any = channel
            ask = face.unary_unary(MODEL_INFER.path)

            async def call(model: str) -> str:
                answer = await ask(pb.ModelInferRequest(model_name=model).SerializeToString(), timeout=10)
                return str(pb.ModelInferResponse.FromString(answer).model_name)

            yield call

    async def status(self, number: int = 0) -> control_pb2.StatusResponse:
        async with grpc.aio.insecure_channel(str(self.controls[number])) as channel:
            stub: Any = control_pb2_grpc.ControlServiceStub(channel)  # type: ignore[no-untyped-call]
            answer: control_pb2.StatusResponse = await stub.Status(control_pb2.StatusRequest())
            return answer


@asynccontextmanager
async def running_control(
    folder: Path, registry: Registry | None = None, *, models: Sequence[str] = (), controls: int = 1
) -> AsyncIterator[Rig]:
    """A control plane and an Envoy that has taken what there is; of `controls` addresses the first is served."""
    async with Rig(registry or MemoryRegistry(), folder, controls) as rig:
        for model in models:
            await rig.join(model)
        await rig.start_control()
        await rig.start_envoy()
        await rig.connected()
        yield rig


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> float:
    """Seconds until it held."""
    began = time.monotonic()
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.002)
    return time.monotonic() - began
