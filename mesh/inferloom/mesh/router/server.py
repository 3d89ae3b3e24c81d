"""The router as a server: the face, MeshService, health and reflection on one gRPC port."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from inferloom.mesh.catalog import EMPTY, Catalog, Model
from inferloom.mesh.errors import ConfigError
from inferloom.mesh.listen import Address, check_free
from inferloom.mesh.oip import SERVICE
from inferloom.mesh.router.explain_service import NAME as EXPLAIN
from inferloom.mesh.router.explain_service import ExplainService
from inferloom.mesh.router.extra import Extra
from inferloom.mesh.router.face import OipFace
from inferloom.mesh.router.mesh_service import MeshService
from inferloom.mesh.router.methods import Collector, MethodTable
from inferloom.mesh.router.reflection import Reflection
from inferloom.mesh.router.router import Router
from inferloom.mesh.router.security import Tls, TokenInterceptor
from inferloom.mesh.router.split_service import SplitService
from inferloom.v1 import explain_pb2_grpc, mesh_pb2, mesh_pb2_grpc

__all__ = ["RouterServer", "ServerSettings"]

TICK = 0.05  # seconds between two looks at whether a draining server is idle ...
SETTLED = 3  # ... so many of which must say so: an answer that was given is still to be sent
_STATUS = health_pb2.HealthCheckResponse


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Where a router listens and whom it answers."""

    address: Address = field(default_factory=lambda: Address("127.0.0.1", 8081))
    option: str = "--grpc"  # how the user named the address, for error messages
    tls: Tls | None = None
    token: str | None = None  # bearer token that every call needs
    write_token: str | None = None  # token that writing needs, good for reading too; None: `token`


def server_options(max_message: int) -> list[tuple[str, int]]:
    """Options of every server that carries tensors. `max_message` in bytes."""
    return [
        ("grpc.max_send_message_length", max_message),
        ("grpc.max_receive_message_length", max_message),
        ("grpc.so_reuseport", 0),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
        ("grpc.http2.max_ping_strikes", 10),
    ]


class RouterServer:
    """Serves a started Router until it is drained or closed.

    Args:
        extra: further services, made and closed by whoever gives them.
    """

    def __init__(
        self, router: Router, settings: ServerSettings = ServerSettings(), extra: Sequence[Extra] = ()
    ) -> None:
        self._router = router
        self._settings = settings
        self._extra = tuple(extra)
        tokens = [token for token in (settings.token, settings.write_token) if token is not None]
        interceptors = [TokenInterceptor(*tokens)] if settings.token is not None else []
        self._server = grpc.aio.server(interceptors=interceptors, options=server_options(router.settings.max_message))
        self._health = health.aio.HealthServicer()  # type: ignore[attr-defined]
        self._following: list[asyncio.Task[None]] = []
        self._face = OipFace(router)
        self._service = MeshService(
            router.registry, router.clock, router.pool, settings.write_token or settings.token, SplitService(router)
        )
        self.address = settings.address

    async def start(self) -> Address:
        """Listen. Returns the address, with the port that was chosen where 0 was asked for.

        Raises:
            ConfigError: the port is in use, the address is not this machine's, or a TLS file is wrong.
        """
        settings, server = self._settings, self._server
        check_free(settings.address, settings.option)
        server.add_generic_rpc_handlers((self._methods(),))
        self.address = Address(settings.address.host, self._bind())
        await server.start()
        await self._health.set("", _STATUS.SERVING)
        self._following = [asyncio.create_task(self._follow(), name="follow catalog for health")]
        self._following += [asyncio.create_task(self._follow_extra(each), name="health") for each in self._extra]
        return self.address

    async def drain(self, grace: float) -> None:
        """Say NOT_SERVING, take no new calls, wait up to `grace` seconds for those under way, then stop."""
        await self._health.enter_graceful_shutdown()
        for task in self._following:
            task.cancel()
        await asyncio.gather(*self._following, return_exceptions=True)
        await self._service.close()
        # Watches and idle streams never end by themselves: what is waited for are the requests.
        stopping = asyncio.create_task(self._server.stop(grace), name="stop the server")
        idle = 0
        while not stopping.done() and idle < SETTLED:
            await asyncio.wait({stopping}, timeout=TICK)
            busy = self._face.busy or any(extra.busy for extra in self._extra)
            idle = 0 if busy else idle + 1
        await self._server.stop(None)
        await stopping

    def _methods(self) -> MethodTable:
        face, others = self._face, Collector()
        mesh_pb2_grpc.add_MeshServiceServicer_to_server(self._service, others)  # type: ignore[no-untyped-call]
        explain_pb2_grpc.add_ExplainServiceServicer_to_server(ExplainService(self._router), others)  # type: ignore[no-untyped-call]
        health_pb2_grpc.add_HealthServicer_to_server(self._health, others)
        names = [mesh_pb2.DESCRIPTOR.services_by_name["MeshService"].full_name, SERVICE, health.SERVICE_NAME]
        names.append(EXPLAIN)
        reflected = Reflection([*names, reflection.SERVICE_NAME], self._extra)
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(reflected, others)
        lookups = [extra.handler for extra in self._extra]
        return MethodTable({**others.handlers, **face.handlers}, face.calls, lookups)

    def _bind(self) -> int:
        settings = self._settings
        try:
            if settings.tls is not None:
                return self._server.add_secure_port(str(settings.address), settings.tls.server_credentials())
            return self._server.add_insecure_port(str(settings.address))
        except RuntimeError as error:
            raise ConfigError(f"{settings.option}: cannot listen on {settings.address}: {error}") from None

    async def _follow(self) -> None:
        before: Catalog = EMPTY
        async for catalog in self._router.registry.watch():
            for name in before.models.keys() | catalog.models.keys():
                model = catalog.models.get(name)
                if before.models.get(name) is not model:
                    stands_for = [
                        each for extra in self._extra for each, of in extra.served.value.items() if of == name
                    ]
                    for service in (name, *stands_for):
                        await self._health.set(service, _health_of(model))
            before = catalog

    async def _follow_extra(self, extra: Extra) -> None:
        before: Mapping[str, str] = {}
        async for served in extra.served.watch():
            for service in before.keys() - served.keys():
                await self._health.set(service, _STATUS.SERVICE_UNKNOWN)
            for service in served.keys() - before.keys():
                await self._health.set(service, _health_of(self._router.registry.catalog.models.get(served[service])))
            before = served


def _health_of(model: Model | None) -> Any:
    if model is None:
        return _STATUS.SERVICE_UNKNOWN
    return _STATUS.SERVING if model.ready else _STATUS.NOT_SERVING
