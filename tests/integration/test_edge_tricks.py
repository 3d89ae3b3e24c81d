"""What callers try: headers that route, odd names and bodies, forbidden calls, missing tokens, pages of other sites."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from inferloom.mesh.oip import METHODS, SERVICE, Kind
from inferloom.mesh.oip_rest import refusal
from inferloom.mesh.xds.types import ARM_HEADER, FACE_HEADER, MODEL_HEADER, ROUTING_HEADERS, VERSION_HEADER
from tests.support.front import Front, infer, running_front

MODELS: dict[str, dict[str, list[str]]] = {"iris": {"one": ["1"]}, "wine": {"one": ["1", "2"], "two": ["2", "3"]}}
MALFORMED = "INVALID_ARGUMENT: the request is no message of the Open Inference Protocol: its bytes do not parse"
NO_TOKEN = "UNAUTHENTICATED: this mesh needs a token: send the metadata 'authorization: Bearer TOKEN'"
HEALTH = "/grpc.health.v1.Health/Check"


@pytest.fixture
async def front(tmp_path: Path) -> AsyncIterator[Front]:
    async with running_front(tmp_path, MODELS) as front:
        yield front


async def test_routing_headers_from_outside_count_for_nothing(front: Front) -> None:
    for value in ("iris", "wine", "mesh-router", "control", "model/wine", "-", "iris,wine", "x" * 300):
        for header in ROUTING_HEADERS:
            told = await front.call(infer("iris"), metadata=[(header, value), (header, "again")])
            assert told == "iris/one", (header, value)
            assert await front.call(infer("rose"), metadata=[(header, value)]) == "router", (header, value)
            assert (await front.http("/v1/rose", headers={header: value}))[1]["who"] == "http", (header, value)
    assert not any(header in asked.headers for asked in front.asked for header in ROUTING_HEADERS[1:])
    assert {asked.headers[MODEL_HEADER] for asked in front.asked} == {"iris", "rose", "-"}
    both = [(MODEL_HEADER, "wine"), (VERSION_HEADER, "2"), (FACE_HEADER, "rest"), (ARM_HEADER, "2")]
    assert await front.call(infer("iris"), metadata=both) == "iris/one"
    assert await front.call(infer("wine", "3"), metadata=both) == "wine/two"


async def test_odd_names_reach_the_router_alone_and_unchanged(front: Front) -> None:
    long = "x" * 300
    for name in (long, "iris\n", "iris\r\nx: y", "\x00iris", "iris ", "iris@1", "../iris", "%69ris", "control", "."):
        sent = infer(name)
        assert await front.call(sent) == "router", name
        assert front.last.body == sent
    for path in (f"/v2/models/{long}/infer", "/v2/models/iris%0d%0a/infer", "/v2/models/%2e%2e/infer"):
        status, told = await front.http(path)
        assert (status, told.get("who", "http")) in ((200, "http"), (400, "http"), (404, "http")), path


async def test_two_names_never_route_by_one_and_ask_for_the_other(front: Front) -> None:
    for first, second in (("iris", "wine"), ("wine", "iris")):
        told = await front.call(infer(first) + infer(second))
        assert told.startswith(second)
        assert front.last.message.model_name == second


async def test_what_is_no_message_is_refused_in_the_routers_words(front: Front) -> None:
    for body in (
        b"\x00",
        b"\xff",
        b"\x0a\xff",
        b"\x0a\x04iri",
        infer("iris") + b"\x0b",
        infer("iris") + b"\x08",
        b"{}",
    ):
        assert await front.call(body) == MALFORMED, body
    assert front.asked == []


async def test_forbidden_calls_are_refused_in_the_routers_words(front: Front) -> None:
    forbidden = {path: method for path, method in METHODS.items() if method.kind is Kind.FORBIDDEN}
    assert len(forbidden) == 10
    for path, method in forbidden.items():
        assert await front.call(infer("iris"), path) == f"PERMISSION_DENIED: {refusal(method)}"
    for verb, path, name in (
        ("POST", "/v2/repository/models/iris/load", "RepositoryModelLoad"),
        ("POST", "/v2/repository/a/models/iris/unload", "RepositoryModelUnload"),
        ("POST", "/v2/./repository//models/iris/../iris/load", "RepositoryModelLoad"),
        ("POST", "/v2/systemsharedmemory/region/x/register", "SystemSharedMemoryRegister"),
        ("GET", "/v2/cudasharedmemory/status", "CudaSharedMemoryStatus"),
        ("GET", "/v2/models/iris/trace/setting?x=1", "TraceSetting"),
        ("POST", "/v2/trace/setting", "TraceSetting"),
        ("HEAD", "/v2/logging", "LogSettings"),
        ("POST", "/v2/logging", "LogSettings"),
    ):
        text = refusal(METHODS[f"/{SERVICE}/{name}"])
        told = {} if verb == "HEAD" else {"error": text}
        assert await front.http(path, method=verb) == (403, told), path
    assert front.asked == []


async def test_pages_of_other_sites_are_refused(front: Front) -> None:
    own = f"http://{front.address}"
    path = "/v2/models/iris/infer"
    assert (await front.http(path, headers={"Origin": own}))[1]["who"] == "iris/one"
    assert (await front.http(path, headers={"Host": "localhost:1"}))[1]["who"] == "iris/one"
    status, told = await front.http(path, headers={"Host": "evil.example"})
    assert (status, told) == (
        403,
        {"error": "Host 'evil.example': this server listens on 127.0.0.1 and answers to localhost only"},
    )
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        status, told = await front.http(path, headers=headers)
        assert (status, "a page of another site" in told["error"]) == (403, True), headers
    grpc: dict[str, str] = {"Content-Type": "application/grpc", "Origin": "http://evil.example", "Host": "evil.example"}
    frame = b"\x00\x00\x00\x00\x06" + infer("iris")
    status, _ = await front.http(f"/{SERVICE}/ModelInfer", frame, headers=grpc)
    assert [asked.who for asked in front.asked] == ["iris/one", "iris/one"], "a page cannot speak gRPC either"


async def test_a_call_of_grpc_by_another_content_type_is_no_call(front: Front) -> None:
    frame = b"\x00\x00\x00\x00\x06" + infer("iris")
    for kind in ("text/plain", "application/json", "application/grpc-web", "application/grpcx"):
        _, told = await front.http(f"/{SERVICE}/ModelInfer", frame, headers={"Content-Type": kind})
        assert told["who"] == "http", kind


async def test_every_call_needs_one_of_the_tokens(tmp_path: Path) -> None:
    async with running_front(tmp_path, MODELS, tokens=("one", "two")) as front:
        for given in (None, "Bearer three", "Bearer", "one", "bearer one", "Bearer one,Bearer one", "x" * 5000):
            sent = [("authorization", given)] if given else []
            assert await front.call(infer("iris"), metadata=sent) == NO_TOKEN, given
            assert await front.call(infer("rose"), metadata=sent) == NO_TOKEN, given
            headers: dict[str, str] = {"Authorization": given} if given else {}
            assert (await front.http("/v2/models/iris/infer", headers=headers))[0] == 401, given
            status, told = await front.http("/v1/iris", headers=headers)
            assert (status, told["code"]) == (401, 16)
        assert front.asked == []
        for token in ("one", "two", "one"):
            assert await front.call(infer("iris"), metadata=[("authorization", f"Bearer {token}")]) == "iris/one"
            assert (await front.http("/v2/models/iris/infer", headers={"Authorization": f"Bearer {token}"}))[0] == 200
        assert "authorization" not in front.last.headers, "replicas are not told the mesh's token"
        assert await front.call(b"", HEALTH) == "router", "as the router, to be asked by load balancers"
