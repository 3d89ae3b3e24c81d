"""JSON over HTTP, through a real router to a real gRPC server that knows its types."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import grpc
import pytest
from aiohttp import web
from grpc import StatusCode

from inferloom.mesh.catalog import Kind, Repeat, Replica
from inferloom.mesh.errors import ConfigError, InvalidInput, status_of
from inferloom.mesh.listen import Address, free_port
from inferloom.mesh.oip import TYPED
from inferloom.mesh.registry.memory import MemoryRegistry
from inferloom.mesh.router.router import Router
from inferloom.services.typed import Types, types_of
from inferloom.services.typed.http import HttpFace
from inferloom.v1 import typed_pb2

LOOPBACK = Address("127.0.0.1", 0)


@dataclass
class Part:
    raw: bytes


@dataclass
class Answer:
    label: int
    part: Part


async def read_digit(png: bytes, parts: list[Part] = []) -> Answer:  # noqa: B006
    """Reads a digit."""
    return Answer(len(png) + len(parts), Part(png))


async def explain(png: bytes) -> str:
    return f"{len(png)} bytes"


async def tokens(text: str, fail_after: int = -1, pause: float = 0.0) -> AsyncIterator[str]:
    for index, word in enumerate(text.split()):
        await asyncio.sleep(pause if index else 0)
        if index == fail_after:
            raise ValueError(f"no word {index}")
        yield word


async def slow(seconds: float) -> None:
    await asyncio.sleep(seconds)


FUNCTIONS: dict[str, Any] = {"ReadDigit": read_digit, "ReadDigit.explain": explain, "Tokens": tokens, "Slow": slow}


@dataclass
class Typed:
    """A server of TypedService, and what it saw."""

    types: dict[str, Types] = field(
        default_factory=lambda: {name: types_of(function, where=name) for name, function in FUNCTIONS.items()}
    )
    metadata: dict[str, str] = field(default_factory=dict)
    remaining: float | None = None
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    described: int = 0

    def handlers(self) -> Any:
        read, write = typed_pb2.TypedRequest.FromString, typed_pb2.TypedResponse.SerializeToString
        return grpc.method_handlers_generic_handler(
            TYPED,
            {
                "Call": grpc.unary_unary_rpc_method_handler(self.call, read, write),
                "CallStream": grpc.unary_stream_rpc_method_handler(self.call_stream, read, write),
                "Describe": grpc.unary_unary_rpc_method_handler(
                    self.describe,
                    typed_pb2.DescribeRequest.FromString,
                    typed_pb2.DescribeResponse.SerializeToString,
                ),
            },
        )

    async def call(self, request: Any, context: Any) -> Any:
        self.metadata = dict(context.invocation_metadata())
        self.remaining = context.time_remaining()
        types = self.types[request.model_name]
        try:
            arguments = types.arguments_json(request.json)
        except InvalidInput as error:
            await context.abort(error.code, str(error), status_of(error).trailing)
        try:
            value = await FUNCTIONS[request.model_name](**arguments)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        context.set_trailing_metadata((("x-inferloom-arm", "b"),))
        return typed_pb2.TypedResponse(json=types.result_json(value))

    async def call_stream(self, request: Any, context: Any) -> AsyncIterator[Any]:
        types = self.types[request.model_name]
        try:
            arguments = types.arguments_json(request.json)
        except InvalidInput as error:
            await context.abort(error.code, str(error), status_of(error).trailing)
        try:
            async for value in tokens(**arguments):
                yield typed_pb2.TypedResponse(json=types.result_json(value))
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        except ValueError as error:
            await context.abort(StatusCode.UNKNOWN, f"ValueError: {error}")

    async def describe(self, request: Any, context: Any) -> Any:
        if request.model_name not in self.types:
            await context.abort(StatusCode.UNIMPLEMENTED, f"'{request.model_name}' has pages of its own")
        self.described += 1
        told = self.types[request.model_name].description(FUNCTIONS[request.model_name].__doc__ or "")
        return typed_pb2.DescribeResponse(
            description=told.text,
            request_schema=json.dumps(told.request),
            response_schema=json.dumps(told.response),
            streams=told.streams,
        )


@dataclass
class Served:
    typed: Typed
    router: Router
    http: aiohttp.ClientSession
    base: str

    async def post(self, path: str, body: Any, **headers: str) -> tuple[int, Any]:
        sent = {key.replace("_", "-"): value for key, value in headers.items()}
        async with self.http.post(f"{self.base}{path}", json=body, headers=sent) as answer:
            return answer.status, await answer.json()


@asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[Served]:
    typed = Typed()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((typed.handlers(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    registry = MemoryRegistry()
    router = Router(registry)
    face = HttpFace(router, **options)
    for name in FUNCTIONS:
        await registry.register(_replica(name, port))
    await registry.register(_replica("digits", port, kind=Kind.MODEL))
    await registry.register(_replica("Gone", free_port()))
    await registry.register(_replica("Web", port, app_port=1))
    try:
        await router.start()
        address = await face.start(LOOPBACK)
        async with aiohttp.ClientSession() as session:
            yield Served(typed, router, session, f"http://{address}")
    finally:
        await face.close()
        await router.close()
        await registry.close()
        await server.stop(0)


def _replica(name: str, port: int, kind: Kind = Kind.SERVICE, app_port: int = 0) -> Replica:
    return Replica(name, "r1", "127.0.0.1", port, versions=("1",), kind=kind, repeat=Repeat.UNBEGUN, app_port=app_port)


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    async def mount(request: web.Request, name: str, tail: str) -> web.StreamResponse:
        return web.json_response({"name": name, "tail": tail, "method": request.method})

    async with serving(mounts={"*": mount}, max_body=100_000) as one:
        yield one


PNG = base64.b64encode(b"\x00\xff").decode()


@pytest.mark.parametrize("path", ["/v1/ReadDigit", "/v1/ReadDigit:predict", "/v1/ReadDigit?version=1"])
async def test_a_call_is_answered_in_json(served: Served, path: str) -> None:
    status, answer = await served.post(path, {"png": PNG, "parts": [{"raw": ""}]})
    assert (status, answer) == (200, {"label": 3, "part": {"raw": PNG}})


@pytest.mark.parametrize("path", ["/v1/ReadDigit:explain", "/v1/ReadDigit.explain"])
async def test_another_method_is_named_behind_a_colon(served: Served, path: str) -> None:
    assert await served.post(path, {"png": PNG}) == (200, "2 bytes")


async def test_nothing_as_the_body_is_an_object_without_fields(served: Served) -> None:
    async with served.http.post(f"{served.base}/v1/Slow") as answer:
        assert (answer.status, await answer.json()) == (
            400,
            {
                "code": 3,
                "message": "seconds: is missing",
                "details": [
                    {
                        "@type": "type.googleapis.com/google.rpc.BadRequest",
                        "fieldViolations": [{"field": "seconds", "description": "is missing"}],
                    }
                ],
            },
        )


@pytest.mark.parametrize(
    ("path", "body", "status", "code", "message"),
    [
        (
            "/v1/ReadDigit",
            {"png": PNG, "parts": [{"raw": "", "more": 1}], "pgn": 1},
            400,
            "INVALID_ARGUMENT",
            "parts[0].more: is not known here; pgn: is not known (did you mean 'png'?); ReadDigit takes png, parts",
        ),
        ("/v1/ReadDgit", {}, 404, "NOT_FOUND", "model 'ReadDgit' not found; did you mean ReadDigit"),
        (
            "/v1/ReadDigit:explian",
            {},
            404,
            "NOT_FOUND",
            "'ReadDigit.explian' not found; did you mean ReadDigit.explain",
        ),
        ("/v1/ReadDigit?version=7", {"png": ""}, 404, "NOT_FOUND", "did you mean ReadDigit with version 1?"),
        ("/v1/digits", {}, 501, "UNIMPLEMENTED", "Method not found!"),  # this server tells no metadata
        ("/v1/Gone", {}, 503, "UNAVAILABLE", ""),
        ("/x/y", {}, 404, "INVALID_ARGUMENT", "there are POST and GET /v1/NAME[:METHOD]"),
    ],
)
async def test_errors_have_the_usual_status_a_code_and_a_message(
    served: Served, path: str, body: Any, status: int, code: str, message: str
) -> None:
    found, answer = await served.post(path, body)
    assert (found, answer["code"]) == (status, StatusCode[code].value[0])
    assert message in answer["message"]


async def test_what_is_no_json_is_told_so(served: Served) -> None:
    url = f"{served.base}/v1/ReadDigit"
    async with served.http.post(url, data=b'{"png"', headers={"Content-Type": "application/json"}) as answer:
        assert answer.status == 400
        assert "the body is no JSON" in await answer.text()
    async with served.http.post(url, data=b"{}", headers={"Content-Type": "text/plain"}) as answer:
        assert answer.status == 400
        assert "Content-Type: takes application/json, got 'text/plain'" in await answer.text()
    async with served.http.put(url) as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD, POST")


async def test_a_body_above_the_bound_is_refused_with_413(served: Served) -> None:
    status, answer = await served.post("/v1/ReadDigit", {"png": "A" * 100_000})
    assert status == 413
    assert answer == {"code": 8, "message": "the body exceeds 100000 bytes", "details": []}


async def test_metadata_travels_both_ways_and_the_transports_own_does_not(served: Served) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    url, body = f"{served.base}/v1/ReadDigit", {"png": PNG}
    sent = {"traceparent": trace, "X-Request-Id": "r-1", "user": "ann", "Authorization": "Bearer x", "Cookie": "a=b"}
    async with served.http.post(url, json=body, headers=sent) as answer:
        assert answer.status == 200
        assert (answer.headers["X-Request-Id"], answer.headers["x-inferloom-arm"]) == ("r-1", "b")
    seen = served.typed.metadata
    assert (seen["traceparent"], seen["x-request-id"], seen["user"]) == (trace, "r-1", "ann")
    assert not {"authorization", "cookie", "host", "accept", "content-length"} & seen.keys()


async def test_the_callers_time_goes_down_with_the_call(served: Served) -> None:
    began = time.monotonic()
    status, answer = await served.post("/v1/Slow", {"seconds": 30}, X_Inferloom_Timeout="0.3")
    assert (status, answer["code"]) == (504, 4)
    assert time.monotonic() - began < 5
    assert served.typed.remaining is not None
    assert served.typed.remaining <= 0.3
    status, answer = await served.post("/v1/Slow", {"seconds": 0}, X_Inferloom_Timeout="soon")
    assert (status, answer["message"]) == (
        400,
        "header 'X-Inferloom-Timeout': takes seconds above 0, such as 0.5, got 'soon'",
    )


async def test_a_caller_that_goes_away_cancels_the_call(served: Served) -> None:
    call = asyncio.create_task(served.post("/v1/Slow", {"seconds": 30}))
    async with asyncio.timeout(10):
        while served.typed.remaining is None:
            await asyncio.sleep(0.01)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await served.typed.cancelled.wait()


async def test_a_stream_is_a_line_each_or_an_event_each(served: Served) -> None:
    url, body = f"{served.base}/v1/Tokens", {"text": "to be"}
    (endpoint,) = served.router.pool.groups["Tokens"].endpoints.values()
    async with served.http.post(url, json=body) as answer:
        assert (answer.content_type, await answer.text()) == ("application/x-ndjson", '"to"\n"be"\n')
    async with served.http.post(url, json=body, headers={"Accept": "text/event-stream"}) as answer:
        assert (answer.content_type, await answer.text()) == ("text/event-stream", 'data: "to"\n\ndata: "be"\n\n')
    async with served.http.post(url, json={"text": ""}) as answer:
        assert (answer.status, await answer.text()) == (200, "")
    assert (endpoint.load.in_flight, endpoint.load.failures) == (0, 0)
    assert endpoint.load.requests >= 3


async def test_a_stream_that_fails_says_so_before_and_after_its_first_answer(served: Served) -> None:
    assert (await served.post("/v1/Tokens", {"txt": "a"}))[0] == 400
    url, body = f"{served.base}/v1/Tokens", {"text": "to be", "fail_after": 1}
    error = '{"code": 2, "message": "ValueError: no word 1", "details": []}'
    async with served.http.post(url, json=body) as answer:
        assert (answer.status, await answer.text()) == (200, f'"to"\n{{"error": {error}}}\n')
    async with served.http.post(url, json=body, headers={"Accept": "text/event-stream"}) as answer:
        assert await answer.text() == f'data: "to"\n\nevent: error\ndata: {error}\n\n'
    status, told = await served.post("/v1/Tokens", {"text": "a", "fail_after": 0})
    assert (status, told["message"]) == (500, "ValueError: no word 0")


async def test_a_stream_ends_with_its_deadline_and_with_its_caller(served: Served) -> None:
    url, body = f"{served.base}/v1/Tokens", {"text": "to be", "pause": 30}
    async with served.http.post(url, json=body, headers={"X-Inferloom-Timeout": "0.5"}) as answer:
        error = '{"code": 4, "message": "the deadline passed", "details": []}'
        assert (answer.status, await answer.text()) == (200, f'"to"\n{{"error": {error}}}\n')
    async with asyncio.timeout(10):
        await served.typed.cancelled.wait()
        served.typed.cancelled.clear()
        async with served.http.post(url, json=body) as answer:
            assert await answer.content.readline() == b'"to"\n'
            answer.close()
        await served.typed.cancelled.wait()
    (endpoint,) = served.router.pool.groups["Tokens"].endpoints.values()
    assert (endpoint.load.in_flight, endpoint.load.failures, len(endpoint.active)) == (0, 0, 0)
    assert served.router.admission.requests == 0


async def test_a_stream_goes_where_a_split_sends_it_and_is_counted(served: Served) -> None:
    spec = {"arms": [{"name": "1", "share": 100}]}
    await served.router.registry.documents.put("split", "Tokens", spec)
    async with asyncio.timeout(10):
        while "Tokens" not in served.router.splitting.splits:
            await asyncio.sleep(0.01)
    status, _ = await served.post("/v1/Tokens", {"txt": "a"})
    async with served.http.post(f"{served.base}/v1/Tokens", json={"text": "to be"}) as answer:
        assert (status, await answer.text()) == (400, '"to"\n"be"\n')
    live = served.router.splitting.splits["Tokens"]
    assert live.figures.of(live.split.arms[0]).codes == {"INVALID_ARGUMENT": 1, "OK": 1}


async def test_openapi_describes_what_answers_and_names_what_does_not(served: Served) -> None:
    async with served.http.get(f"{served.base}/openapi.json") as answer:
        document = await answer.json()
    assert document["openapi"] == "3.1.0"
    assert set(document["paths"]) == {"/v1/ReadDigit", "/v1/ReadDigit:explain", "/v1/Tokens", "/v1/Slow"}
    assert set(document["x-inferloom-unanswered"]) == {"Gone", "Web", "digits"}
    assert document["x-inferloom-unanswered"]["Web"] == "'Web' has pages of its own"
    operation = document["paths"]["/v1/ReadDigit"]["post"]
    assert operation["summary"] == "Reads a digit."
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert schema["properties"]["parts"]["items"] == {"$ref": "#/components/schemas/ReadDigit.request.Part"}
    assert "raw" in document["components"]["schemas"]["ReadDigit.request.Part"]["properties"]
    assert set(document["paths"]["/v1/Tokens"]["post"]["responses"]["200"]["content"]) == {
        "application/x-ndjson",
        "text/event-stream",
    }
    asked = served.typed.described
    async with served.http.get(f"{served.base}/openapi.json") as answer:
        assert (await answer.json())["paths"] == document["paths"]
    assert served.typed.described == asked


async def test_the_page_has_no_content_from_other_hosts(served: Served) -> None:
    async with served.http.get(f"{served.base}/") as answer:
        assert (answer.status, answer.url.path) == (200, "/docs")
        policy = answer.headers["Content-Security-Policy"]
        text = await answer.text()
    assert policy.startswith("default-src 'none'; script-src 'self'")
    for path in ("/docs/docs.js", "/docs/docs.css", "/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js"):
        assert path in text
        async with served.http.get(f"{served.base}{path}") as answer:
            assert answer.status == 200
            if "swagger" not in path:
                text += await answer.text()
            tag = answer.headers.get("ETag", "")
        async with served.http.get(f"{served.base}{path}", headers={"If-None-Match": tag or "none"}) as answer:
            assert answer.status == (304 if tag else 200)
    assert "//" not in text.replace("// ", "")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "localhost:80"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
    ],
)
async def test_pages_of_other_sites_may_not_call(served: Served, headers: dict[str, str], status: int) -> None:
    url = f"{served.base}/v1/ReadDigit"
    async with served.http.post(url, json={"png": ""}, headers=headers) as answer:
        assert answer.status == status
    own = {"Origin": served.base}
    async with served.http.post(url, json={"png": ""}, headers=own) as answer:
        assert answer.status == 200


async def test_an_origin_that_was_allowed_may_call() -> None:
    async with serving(origins=("https://app.example",)) as served:
        assert (await served.post("/v1/ReadDigit", {"png": ""}, Origin="https://app.example"))[0] == 200
        assert (await served.post("/v1/ReadDigit", {"png": ""}, Origin="https://bpp.example"))[0] == 403


async def test_a_service_with_an_app_port_is_mounted_under_its_name(served: Served) -> None:
    async with served.http.get(f"{served.base}/Web?a=1") as answer:
        assert (answer.status, str(answer.url)) == (200, f"{served.base}/Web/?a=1")
        assert await answer.json() == {"name": "Web", "tail": "", "method": "GET"}
    async with served.http.put(f"{served.base}/Web/items/1") as answer:
        assert await answer.json() == {"name": "Web", "tail": "items/1", "method": "PUT"}
    async with served.http.get(f"{served.base}/ReadDigit/x") as answer:
        assert answer.status == 404


async def test_a_port_in_use_is_told_with_the_option() -> None:
    async with serving() as served:
        port = int(served.base.rpartition(":")[2])
        with pytest.raises(ConfigError, match=rf"--http: port {port} on 127.0.0.1 is in use"):
            await HttpFace(served.router).start(Address("127.0.0.1", port))


async def test_where_there_is_a_token_every_request_needs_it_and_it_goes_no_further() -> None:
    async def mount(request: web.Request, name: str, tail: str) -> web.StreamResponse:
        return web.json_response({"headers": dict(request.headers), "body": await request.text()})

    async with serving(tokens=["s3cret", "write"], mounts={"*": mount}) as served:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Bearer s3cre\u0074\u00e9"}):
            status, answer = await served.post("/v1/ReadDigit", {"png": PNG}, **headers)
            assert (status, answer["code"]) == (401, 16)
            assert "Authorization: Bearer TOKEN" in answer["message"]
        for path in ("/openapi.json", "/docs", "/", "/Web/page"):
            async with served.http.get(f"{served.base}{path}", allow_redirects=False) as page:
                assert page.status == 401
        for token in ("s3cret", "write"):
            status, _ = await served.post("/v1/ReadDigit", {"png": PNG}, Authorization=f"Bearer {token}")
            assert status == 200
        assert "authorization" not in served.typed.metadata
        status, told = await served.post("/Web/page", {"x": 1}, Authorization="Bearer s3cret", X_Own="kept")
        assert (status, told["body"], told["headers"]["X-Own"]) == (200, '{"x": 1}', "kept")
        assert "Authorization" not in told["headers"]


async def test_behind_an_edge_hosts_are_judged_by_the_edges_address_and_not_by_its_own() -> None:
    registry = MemoryRegistry()
    router = Router(registry)
    await router.start()
    statuses = []
    try:
        for public in (None, Address("0.0.0.0", 8081)):
            face = HttpFace(router, public=public)
            where = await face.start(LOOPBACK)
            async with aiohttp.ClientSession() as session:
                headers = {"Host": "gw.example:8081"}
                async with session.get(f"http://{where}/openapi.json", headers=headers) as answer:
                    statuses.append(answer.status)
            await face.close()
    finally:
        await router.close()
        await registry.close()
    assert statuses == [403, 200]
