"""One grpc.health.v1 server per sidecar: overall ("") and per model, `Check` and `Watch`."""

from __future__ import annotations

import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from inferloom.mesh.listen import Address, check_free

__all__ = ["HealthServer"]

Serving = health_pb2.HealthCheckResponse.ServingStatus


class HealthServer:
    """Triton's own health service says SERVING for any name and cannot Watch, so the sidecar answers for it."""

    def __init__(self) -> None:
        self._servicer = health.aio.HealthServicer()  # type: ignore[attr-defined]
        self._server: grpc.aio.Server | None = None
        self._known: dict[str, bool] = {}
        self.address = ""

    async def start(self, host: str, port: int) -> None:
        """Listen; `address` is then "host:port".

        Raises:
            ConfigError: the port is in use.
        """
        check_free(Address(host, port), "--health")
        await self.set("", serving=False)
        server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)
        bound = server.add_insecure_port(str(Address(host, port)))
        await server.start()
        self._server = server
        self.address = str(Address(host, bound))

    async def set(self, model: str, *, serving: bool | None) -> None:
        """Say how a model ("" for the whole) is; None: there is no such model any more."""
        if serving is None:
            self._known.pop(model, None)
            await self._servicer.set(model, Serving.SERVICE_UNKNOWN)
        elif self._known.get(model) is not serving:
            self._known[model] = serving
            await self._servicer.set(model, Serving.SERVING if serving else Serving.NOT_SERVING)

    async def close(self) -> None:
        if self._server is not None:
            await self._server.stop(0.2)
            self._server = None
