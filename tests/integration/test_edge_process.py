"""`inferloom edge` as a process: options, start, drain, restart; one edge and two, one control plane and two."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import trustme

from inferloom.mesh.oip import pb
from inferloom.mesh.router.server import ServerSettings
from inferloom.mesh.xds.server import SERVICE
from tests.support.caller import echo_request, read, slow_request, stub
from tests.support.edge import Edge, Gateway, Role, running_edge
from tests.support.load import Load, outcome_of
from tests.support.router import LOOPBACK, Mesh, Server, running_mesh

Pair = tuple[Server, Server]
NOWHERE = "127.0.0.1:9"
TOKEN = "for-tests"


@asynccontextmanager
async def chain(
    pair: Pair, server: ServerSettings | None = None, **options: Any
) -> AsyncIterator[tuple[Mesh, Gateway]]:
    async with running_mesh(server=server or ServerSettings(address=LOOPBACK)) as mesh:
        for name, each in zip(("one", "two"), pair, strict=True):
            await mesh.join(name, each, http_port=each.http_port)
        await mesh.settled()
        async with running_edge(mesh, **options) as gateway:
            for edge in gateway.edges:
                await edge.reaches("echo", 2)
            yield mesh, gateway


async def refused(*arguments: str) -> tuple[int, str]:
    """How `inferloom edge` ends that is told something wrong: its status, its last line."""
    role = Role("edge", *arguments)
    await role.start(wait=False)
    assert role.child is not None
    status = await asyncio.wait_for(role.child.wait(), 30)
    return status, role.output.splitlines()[-1]


async def test_what_it_is_told_wrong_is_said_in_one_line(tmp_path: Path) -> None:
    anywhere = ("--listen", "127.0.0.1:0", "--control", NOWHERE)
    absent = str(tmp_path / "absent.pem")
    cases = {
        ("--listen", "nowhere", "--control", NOWHERE): "--listen: 'nowhere' is no HOST:PORT",
        ("--listen", "127.0.0.1:0", "--control", ","): "--control: name at least one control plane",
        (*anywhere, "--admin", "0.0.0.0:0"): "--admin: 0.0.0.0:",
        (
            "--listen",
            "no.such.host.invalid:0",
            "--control",
            NOWHERE,
        ): "--listen: no.such.host.invalid has no IPv4 address",
        (*anywhere, "--access-log", "some"): "access_log is 'some'",
        (*anywhere, "--tls-cert", absent): "--tls-cert and --tls-key belong together",
        (*anywhere, "--tls-cert", absent, "--tls-key", absent): f"--tls-cert: {absent} cannot be read",
    }
    ended = await asyncio.gather(*(refused(*arguments) for arguments in cases))
    for (status, line), wanted in zip(ended, cases.values(), strict=True):
        assert status == 2, line
        assert line.startswith("inferloom: "), line
        assert wanted in line


async def test_a_port_that_is_in_use_is_refused() -> None:
    taken = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    async with taken:
        port = taken.sockets[0].getsockname()[1]
        status, line = await refused("--listen", f"127.0.0.1:{port}", "--control", NOWHERE)
    assert (status, line) == (2, f"inferloom: --listen: port {port} on 127.0.0.1 is in use; choose another")


async def test_it_waits_for_its_control_plane_and_says_so() -> None:
    edge = Edge([NOWHERE])
    await edge.start(wait=False)
    try:
        end = time.monotonic() + 30
        while f"waiting for the control plane at {NOWHERE}" not in edge.output:
            assert time.monotonic() < end, edge.output
            await asyncio.sleep(0.05)
        assert edge.said == {}
    finally:
        assert await edge.stop() == 0


async def test_a_request_in_flight_is_answered_while_it_drains_and_its_port_closes(pair: Pair) -> None:
    async with chain(pair) as (_, gateway), stub(gateway.address) as face:
        long = asyncio.ensure_future(face.ModelInfer(slow_request(3.0, 7), timeout=20))
        await gateway.edge.reaches("slow", 2)
        while gateway.edge.stats("http.*downstream_rq_active").get("http.edge.downstream_rq_active") != 1:
            await asyncio.sleep(0.02)
        stopping = asyncio.ensure_future(gateway.edge.stop())
        assert read(await long) == [7]
        assert await stopping == 0
        code, _ = await outcome_of(face.ModelInfer(echo_request(), timeout=5))
        assert code is grpc.StatusCode.UNAVAILABLE


async def test_an_idle_edge_ends_at_once_and_one_whose_envoy_dies_says_so(pair: Pair) -> None:
    async with chain(pair, edges=2) as (_, gateway):
        idle, hurt = gateway.edges
        began = time.monotonic()
        assert await idle.stop() == 0
        assert time.monotonic() - began < 4
        hurt.envoy().kill()
        assert hurt.child is not None
        assert await asyncio.wait_for(hurt.child.wait(), 10) == 1
        assert hurt.output.splitlines()[-1] == "inferloom: Envoy was ended by SIGKILL"


async def test_a_rolling_restart_of_two_edges_fails_no_request(pair: Pair) -> None:
    async with chain(pair, edges=2) as (_, gateway):
        both = ",".join(edge.address for edge in gateway.edges)
        async with stub(f"ipv4:{both}") as face:
            async with Load(lambda n: face.ModelInfer(echo_request([n]), timeout=10), callers=4) as load:
                await load.until(lambda: load.answered > 100)
                for edge in gateway.edges:
                    assert await edge.stop() == 0
                    await edge.start()
                    await edge.reaches("echo", 2)
                    wanted = load.answered + 100
                    while load.answered < wanted:
                        await asyncio.sleep(0.02)
            assert load.failures == []


async def test_when_its_control_plane_is_killed_the_other_one_tells_it_of_changes(pair: Pair) -> None:
    async with chain(pair, controls=2) as (mesh, gateway), stub(gateway.address) as face:
        [used] = [each for each in gateway.controls if gateway.edge.connections("control", each.address)]
        await used.kill()
        await mesh.registrations.pop(("echo", "two")).deregister()
        await gateway.edge.reaches("echo", 1)
        assert read(await face.ModelInfer(echo_request([4.0]), timeout=10)) == [4.0]


async def test_tls_and_a_token_are_asked_for_as_by_the_router(pair: Pair, tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    cert, key, token = tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "token"
    cert.write_bytes(b"".join(each.bytes() for each in issued.cert_chain_pems))
    key.write_bytes(issued.private_key_pem.bytes())
    token.write_text(TOKEN)
    options: dict[str, Any] = {
        "control_options": ("--token-file", str(token)),
        "edge_options": ("--tls-cert", str(cert), "--tls-key", str(key), "--token-file", str(token)),
        "tokens": (TOKEN,),
    }
    credentials = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
    bearer = (("authorization", f"Bearer {TOKEN}"),)
    async with chain(pair, **options) as (_, gateway), stub(gateway.address, credentials=credentials) as face:
        assert read(await face.ModelInfer(echo_request([1.0]), timeout=10, metadata=bearer)) == [1.0]
        for metadata in ((), (("authorization", "Bearer wrong"),)):
            code, _ = await outcome_of(face.ModelInfer(echo_request(), timeout=10, metadata=metadata))
            assert code is grpc.StatusCode.UNAUTHENTICATED
        async with stub(gateway.address) as plain:
            code, _ = await outcome_of(plain.ServerLive(pb.ServerLiveRequest(), timeout=5))
            assert code is grpc.StatusCode.UNAVAILABLE
        async with grpc.aio.insecure_channel(gateway.control.address) as channel:  # its answers carry the token
            ask: Any = channel.stream_stream(f"/{SERVICE}/StreamAggregatedResources", None, None)
            code, _ = await outcome_of(ask().read())
            assert code is grpc.StatusCode.UNAUTHENTICATED
        key.write_text("no key")
        status, line = await refused(
            *("--listen", "127.0.0.1:0", "--control", gateway.control.address),
            *("--tls-cert", str(cert), "--tls-key", str(key), "--token-file", str(token)),
        )
        assert (status, line.partition(": Failed")[0]) == (2, "inferloom: Envoy refuses its listener")
        context = ssl.create_default_context()
        authority.configure_trust(context)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
            url = f"https://{gateway.address}/v2/models/echo"
            async with session.get(url) as answer:
                assert answer.status == 401
            async with session.get(url, headers=dict(bearer)) as answer:
                assert answer.status == 200
