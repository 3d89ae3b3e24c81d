"""Who may call, and where the router listens: ports, TLS, tokens, health, reflection."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from inferloom.mesh.catalog import Replica, State
from inferloom.mesh.errors import ConfigError
from inferloom.mesh.listen import Address
from inferloom.mesh.oip import pb
from inferloom.mesh.registry.memory import MemoryRegistry
from inferloom.mesh.router.router import Router
from inferloom.mesh.router.security import Tls
from inferloom.mesh.router.server import RouterServer, ServerSettings
from inferloom.v1 import mesh_pb2, mesh_pb2_grpc
from tests.support.caller import echo_request, read, stub
from tests.support.load import outcome_of
from tests.support.router import LOOPBACK, Server, running_mesh

Pair = tuple[Server, Server]
Status = grpc.StatusCode


@contextlib.asynccontextmanager
async def another_router(address: Address) -> AsyncIterator[RouterServer]:
    router = Router(MemoryRegistry())
    await router.start()
    try:
        yield RouterServer(router, ServerSettings(address=address))
    finally:
        await router.close()


async def test_a_second_router_on_the_same_port_is_refused_by_name_of_the_port() -> None:
    async with running_mesh() as mesh, another_router(mesh.server.address) as second:
        with pytest.raises(ConfigError) as caught:
            await second.start()
    assert str(caught.value) == f"--grpc: port {mesh.server.address.port} on 127.0.0.1 is in use; choose another"


async def test_a_port_of_a_grpc_server_that_shares_it_is_refused_too() -> None:
    other = grpc.aio.server()  # SO_REUSEPORT is grpc's default
    port = other.add_insecure_port("127.0.0.1:0")
    await other.start()
    try:
        async with another_router(Address("127.0.0.1", port)) as second:
            with pytest.raises(ConfigError, match=f"port {port} on 127.0.0.1 is in use"):
                await second.start()
    finally:
        await other.stop(None)


async def test_an_address_of_another_machine_is_refused() -> None:
    async with another_router(Address("192.0.2.1", 50000)) as second:
        with pytest.raises(ConfigError, match=r"--grpc: cannot listen on 192\.0\.2\.1:50000"):
            await second.start()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def tls_files(folder: Path, authority: trustme.CA) -> tuple[Path, Path, Path]:
    issued = authority.issue_cert("127.0.0.1", "localhost")
    cert, key, ca = folder / "cert.pem", folder / "key.pem", folder / "ca.pem"
    issued.cert_chain_pems[0].write_to_path(str(cert))
    issued.private_key_pem.write_to_path(str(key))
    authority.cert_pem.write_to_path(str(ca))
    return cert, key, ca


async def test_tls_answers_those_who_trust_it_and_no_plain_text(
    pair: Pair, tmp_path: Path, authority: trustme.CA
) -> None:
    cert, key, ca = tls_files(tmp_path, authority)
    settings = ServerSettings(address=LOOPBACK, tls=Tls(cert=cert, key=key))
    async with running_mesh({"one": pair[0]}, server=settings) as mesh:
        trusting = grpc.ssl_channel_credentials(ca.read_bytes())
        async with stub(mesh.address, credentials=trusting) as face:
            assert read(await face.ModelInfer(echo_request())) == [1, 2]
        async with stub(mesh.address) as plain:
            assert (await outcome_of(plain.ModelInfer(echo_request(), timeout=3)))[0] is Status.UNAVAILABLE
        async with stub(mesh.address, credentials=grpc.ssl_channel_credentials()) as distrusting:
            assert (await outcome_of(distrusting.ModelInfer(echo_request(), timeout=3)))[0] is Status.UNAVAILABLE


async def test_mutual_tls_answers_only_those_with_a_certificate(
    pair: Pair, tmp_path: Path, authority: trustme.CA
) -> None:
    cert, key, ca = tls_files(tmp_path, authority)
    settings = ServerSettings(address=LOOPBACK, tls=Tls(cert=cert, key=key, client_ca=ca))
    mine, stranger = authority.issue_cert("me@here"), trustme.CA().issue_cert("me@here")

    def credentials(leaf: Any = None) -> grpc.ChannelCredentials:
        if leaf is None:
            return grpc.ssl_channel_credentials(ca.read_bytes())
        return grpc.ssl_channel_credentials(
            ca.read_bytes(), leaf.private_key_pem.bytes(), leaf.cert_chain_pems[0].bytes()
        )

    async with running_mesh({"one": pair[0]}, server=settings) as mesh:
        async with stub(mesh.address, credentials=credentials(mine)) as face:
            assert read(await face.ModelInfer(echo_request())) == [1, 2]
        for other in (None, stranger):
            async with stub(mesh.address, credentials=credentials(other)) as face:
                assert (await outcome_of(face.ModelInfer(echo_request(), timeout=3)))[0] is Status.UNAVAILABLE


async def test_wrong_tls_files_are_refused_by_their_option(tmp_path: Path, authority: trustme.CA) -> None:
    cert, key, _ = tls_files(tmp_path, authority)
    junk = tmp_path / "junk.pem"
    junk.write_text("no certificate")
    router = Router(MemoryRegistry())
    await router.start()
    cases = [
        (Tls(cert=tmp_path / "none", key=key), "--tls-cert: cannot read .*none: No such file"),
        (Tls(cert=cert, key=tmp_path / "none"), "--tls-key: cannot read"),
        (Tls(cert=cert, key=key, client_ca=tmp_path / "none"), "--tls-client-ca: cannot read"),
        (Tls(cert=junk, key=key), "--tls-cert.*junk"),
        (Tls(cert=cert, key=junk), "--tls-key.*junk"),
        (Tls(cert=cert, key=key, client_ca=junk), "--tls-client-ca.*junk"),
        (Tls(cert=key, key=cert), "--tls-cert"),
    ]
    try:
        for tls, words in cases:
            with pytest.raises(ConfigError, match=words):
                await RouterServer(router, ServerSettings(address=LOOPBACK, tls=tls)).start()
    finally:
        await router.close()


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


async def test_every_call_needs_the_token_streams_too_and_health_does_not(pair: Pair) -> None:
    settings = ServerSettings(address=LOOPBACK, token="s3cret")
    async with running_mesh({"one": pair[0]}, server=settings) as mesh, stub(mesh.address) as face:
        catalog = mesh_pb2_grpc.MeshServiceStub(face.channel)  # type: ignore[no-untyped-call]
        for metadata in ((), bearer("wrong"), bearer(""), (("authorization", "s3cret"),)):
            for call in (
                face.ModelInfer(echo_request(), metadata=metadata),
                face.ServerLive(pb.ServerLiveRequest(), metadata=metadata),
                catalog.ListModels(mesh_pb2.ListModelsRequest(), metadata=metadata),
            ):
                code, message = await outcome_of(call)
                assert code is Status.UNAUTHENTICATED
                assert "authorization: Bearer TOKEN" in message
            for stream in (
                face.ModelStreamInfer(metadata=metadata),  # a message on its way would hide the code of the refusal
                catalog.WatchModels(mesh_pb2.WatchModelsRequest(), metadata=metadata),
            ):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await stream.read()
                assert caught.value.code() is Status.UNAUTHENTICATED
        assert read(await face.ModelInfer(echo_request(), metadata=bearer("s3cret"))) == [1, 2]
        stream = face.ModelStreamInfer(iter([echo_request()]), metadata=bearer("s3cret"))
        assert [read(answer.infer_response) async for answer in stream] == [[1, 2]]
        health = health_pb2_grpc.HealthStub(face.channel)
        assert (await health.Check(health_pb2.HealthCheckRequest())).status == health_pb2.HealthCheckResponse.SERVING


async def test_writing_needs_its_token_and_reading_does_not() -> None:
    put = mesh_pb2.PutDocumentRequest(kind="model", name="a", spec_json="{}")
    async with (
        running_mesh(server=ServerSettings(address=LOOPBACK, write_token="w")) as mesh,
        stub(mesh.address) as face,
    ):
        service = mesh_pb2_grpc.MeshServiceStub(face.channel)  # type: ignore[no-untyped-call]
        await service.ListModels(mesh_pb2.ListModelsRequest())
        for metadata in ((), bearer("r")):
            assert (await outcome_of(service.PutDocument(put, metadata=metadata)))[0] is Status.UNAUTHENTICATED
            register = service.Register(metadata=metadata)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await register.read()
            assert caught.value.code() is Status.UNAUTHENTICATED
        assert (await service.PutDocument(put, metadata=bearer("w"))).version == 1
    async with running_mesh() as mesh, stub(mesh.address) as face:
        service = mesh_pb2_grpc.MeshServiceStub(face.channel)  # type: ignore[no-untyped-call]
        code, message = await outcome_of(service.PutDocument(put, metadata=bearer("w")))
        assert code is Status.PERMISSION_DENIED
        assert "--token-file" in message


async def test_who_may_write_may_read_where_the_tokens_differ() -> None:
    settings = ServerSettings(address=LOOPBACK, token="r", write_token="w")
    put = mesh_pb2.PutDocumentRequest(kind="model", name="a", spec_json="{}")
    async with running_mesh(server=settings) as mesh, stub(mesh.address) as face:
        service = mesh_pb2_grpc.MeshServiceStub(face.channel)  # type: ignore[no-untyped-call]
        assert (await outcome_of(service.PutDocument(put, metadata=bearer("r"))))[0] is Status.UNAUTHENTICATED
        assert (await service.PutDocument(put, metadata=bearer("w"))).version == 1
        for token in ("r", "w"):
            await service.ListModels(mesh_pb2.ListModelsRequest(), metadata=bearer(token))


async def test_health_is_told_overall_and_for_each_model_and_watched() -> None:
    statuses = health_pb2.HealthCheckResponse
    registry = MemoryRegistry()
    iris = await registry.register(Replica("iris", "a", "127.0.0.1", 1))
    async with running_mesh(registry=registry) as mesh, stub(mesh.address) as face:
        health = health_pb2_grpc.HealthStub(face.channel)

        async def status(name: str) -> Any:
            return (await health.Check(health_pb2.HealthCheckRequest(service=name))).status

        assert await status("") == statuses.SERVING
        assert await status("iris") == statuses.SERVING
        assert (await outcome_of(health.Check(health_pb2.HealthCheckRequest(service="rose"))))[0] is Status.NOT_FOUND
        watching = health.Watch(health_pb2.HealthCheckRequest(service="iris"))
        assert (await watching.read()).status == statuses.SERVING
        await iris.update(Replica("iris", "a", "127.0.0.1", 1, State.DRAINING))
        assert (await asyncio.wait_for(watching.read(), 2)).status == statuses.NOT_SERVING
        await iris.deregister()
        assert (await asyncio.wait_for(watching.read(), 2)).status == statuses.SERVICE_UNKNOWN
        watching.cancel()


async def test_reflection_lists_both_services_and_describes_them() -> None:
    async with running_mesh() as mesh, stub(mesh.address) as face:
        reflection = reflection_pb2_grpc.ServerReflectionStub(face.channel)
        asking = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol="inference.GRPCInferenceService"),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol="inferloom.v1.MeshService"),
        ]
        answers = [answer async for answer in reflection.ServerReflectionInfo(iter(asking))]
    names = {service.name for service in answers[0].list_services_response.service}
    assert {"inference.GRPCInferenceService", "inferloom.v1.MeshService", "grpc.health.v1.Health"} <= names
    assert all(answer.file_descriptor_response.file_descriptor_proto for answer in answers[1:])
