"""A host's gRPC server: its face, health and reflection on one port."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from inferloom.mesh.errors import ConfigError
from inferloom.mesh.listen import Address, check_free
from inferloom.mesh.oip import SERVICE, TYPED
from inferloom.mesh.router.explain_service import NAME as EXPLAIN
from inferloom.mesh.router.explain_service import ExplainService
from inferloom.mesh.router.methods import Collector, MethodTable
from inferloom.mesh.router.server import server_options
from inferloom.services.host.face import HostFace
from inferloom.v1 import explain_pb2_grpc, mesh_pb2, mesh_pb2_grpc

__all__ = ["HostServer"]

TICK = 0.02  # seconds between two looks at whether a draining server is idle ...
SETTLED = 3  # ... so many of which must say so: an answer that was given is still to be sent
MIB = 1024 * 1024
MESH = mesh_pb2.DESCRIPTOR.services_by_name["MeshService"].full_name
_STATUS = health_pb2.HealthCheckResponse


class HostServer:
    """Serves a face until it is closed.

    Args:
        figures: tells what the host's own router has counted of splits.
        explain: tells what it remembers of its requests.
    """

    def __init__(
        self,
        face: HostFace,
        *,
        max_message: int = 64 * MIB,
        figures: mesh_pb2_grpc.MeshServiceServicer | None = None,
        explain: ExplainService | None = None,
    ) -> None:
        self._explain = explain
        self._face = face
        self._figures = figures
        self._server = grpc.aio.server(options=server_options(max_message))
        self._health = health.aio.HealthServicer()  # type: ignore[attr-defined]
        self._told: set[str] = set()

    async def start(self, address: Address, option: str = "--grpc") -> Address:
        """Listen; port 0 chooses one.

        Raises:
            ConfigError: the port is in use, or the address is not this machine's.
        """
        check_free(address, option)
        others = Collector()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, others)
        names = [SERVICE, TYPED, health.SERVICE_NAME, reflection.SERVICE_NAME]
        if self._figures is not None:
            mesh_pb2_grpc.add_MeshServiceServicer_to_server(self._figures, others)  # type: ignore[no-untyped-call]
            names.append(MESH)
        if self._explain is not None:
            explain_pb2_grpc.add_ExplainServiceServicer_to_server(self._explain, others)  # type: ignore[no-untyped-call]
            names.append(EXPLAIN)
        reflected = reflection.aio.ReflectionServicer(names)  # type: ignore[attr-defined]
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(reflected, others)
        self._server.add_generic_rpc_handlers(
            (MethodTable({**others.handlers, **self._face.handlers}, self._face.calls),)
        )
        try:
            port = self._server.add_insecure_port(str(address))
        except RuntimeError as error:
            raise ConfigError(f"{option}: cannot listen on {address}: {error}") from None
        await self._server.start()
        await self._health.set("", _STATUS.SERVING)
        return Address(address.host, port)

    async def tell(self, serving: Iterable[str]) -> None:
        """Answer health checks for these names with SERVING, for those told before with NOT_SERVING."""
        names = set(serving)
        for name in names - self._told:
            await self._health.set(name, _STATUS.SERVING)
        for name in self._told - names:
            await self._health.set(name, _STATUS.NOT_SERVING)
        self._told = names

    async def idle(self, timeout: float) -> bool:
        """Wait until no request is under way; False where one still is after `timeout` seconds."""
        loop = asyncio.get_running_loop()
        end, quiet = loop.time() + timeout, 0
        while quiet < SETTLED:
            quiet = 0 if self._face.busy else quiet + 1
            if quiet == 0 and loop.time() >= end:
                return False
            await asyncio.sleep(TICK)
        return True

    async def leave(self) -> None:
        """Answer every health check with NOT_SERVING from now on."""
        await self._health.enter_graceful_shutdown()

    async def close(self) -> None:
        """Stop at once: what is still under way is cancelled."""
        await self._server.stop(None)
