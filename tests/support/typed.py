"""A router with its typed faces, over HTTP and gRPC, in front of real Tritons."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from inferloom.mesh.errors import DETAILS_KEY
from inferloom.mesh.registry.memory import MemoryRegistry
from inferloom.mesh.router.router import Router
from inferloom.mesh.router.server import RouterServer, ServerSettings
from inferloom.mesh.telemetry.tracing import Tracing
from inferloom.services.typed.faces import Faces
from inferloom.services.typed.grpc_face import TypedFace
from inferloom.services.typed.http import HttpFace
from tests.support.router import LOOPBACK, Mesh, Server

__all__ = ["Stub", "TypedMesh", "raw", "running_typed", "stub", "violations"]


@dataclass
class TypedMesh:
    """A running router with both faces."""

    mesh: Mesh
    faces: Faces
    http: aiohttp.ClientSession
    base: str
    channel: grpc.aio.Channel

    async def post(self, path: str, body: Any, **headers: str) -> tuple[int, Any]:
        """The status and the JSON of an answer; a body of bytes is sent as it is."""
        data: Any = {"data": io.BytesIO(body)} if isinstance(body, bytes) else {"json": body}
        sent = {"Content-Type": "application/json"} | {key.replace("_", "-"): value for key, value in headers.items()}
        async with self.http.post(f"{self.base}{path}", headers=sent, **data) as answer:
            return answer.status, await answer.json()


@asynccontextmanager
async def running_typed(servers: Mapping[str, Server], tracing: Tracing | None = None) -> AsyncIterator[TypedMesh]:
    """On free ports; the servers' names are their replica ids."""
    registry = MemoryRegistry()
    router = Router(registry, tracing=tracing)
    faces = Faces(router)
    server = RouterServer(router, ServerSettings(address=LOOPBACK), [TypedFace(router, faces)])
    mesh = Mesh(router, server, registry)
    web = HttpFace(router, faces=faces)
    for name, each in servers.items():
        await mesh.join(name, each)
    try:
        await router.start()
        await faces.start()
        address = await server.start()
        await mesh.settled()
        base = f"http://{await web.start(LOOPBACK)}"
        async with aiohttp.ClientSession() as session, grpc.aio.insecure_channel(str(address)) as channel:
            yield TypedMesh(mesh, faces, session, base, channel)
    finally:
        await web.close()
        await server.drain(0.0)
        await faces.close()
        await router.close()
        await registry.close()


class Stub:
    """A service as reflection tells it: methods by name, message classes by name."""

    def __init__(self, channel: grpc.aio.Channel, pool: DescriptorPool, service: str) -> None:
        self._pool = pool
        self._package = service.rpartition(".")[0]
        self.methods = {}
        for method in pool.FindServiceByName(service).methods:
            make = channel.unary_stream if method.server_streaming else channel.unary_unary
            self.methods[method.name] = make(
                f"/{service}/{method.name}",
                request_serializer=GetMessageClass(method.input_type).SerializeToString,
                response_deserializer=GetMessageClass(method.output_type).FromString,
            )

    def __getattr__(self, name: str) -> Any:
        """A method, or the class of a message."""
        if name in self.methods:
            return self.methods[name]
        return GetMessageClass(self._pool.FindMessageTypeByName(f"{self._package}.{name}"))


async def raw(channel: Any, path: str, request: bytes = b"") -> Any:
    """The bytes that answer a call."""
    return await channel.unary_unary(path)(request)


def stub(target: str, service: str, channel: grpc.aio.Channel) -> Stub:
    """Asks a server's reflection, as grpcurl does; blocks."""
    with grpc.insecure_channel(target) as blocking:
        pool = DescriptorPool(ProtoReflectionDescriptorDatabase(blocking))
        return Stub(channel, pool, service)


def violations(error: grpc.aio.AioRpcError) -> dict[str, str]:
    """Descriptions by field, of the error's google.rpc.BadRequest."""
    trailing: Any = error.trailing_metadata()
    packed = dict(trailing)[DETAILS_KEY]
    status = Status.FromString(packed)
    assert (status.code, status.message) == (error.code().value[0], error.details())
    bad = BadRequest()
    assert status.details[0].Unpack(bad)
    return {each.field: each.description for each in bad.field_violations}
