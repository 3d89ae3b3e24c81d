"""A real Envoy with compiled resources, in front of servers that say who was asked and for what."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import grpc
from aiohttp import web
from yarl import URL

from inferloom.mesh.catalog import Catalog, Kind, Replica
from inferloom.mesh.listen import Address, free_port
from inferloom.mesh.oip import MODEL_INFER, MODEL_STREAM_INFER, pb
from inferloom.mesh.policy import TrafficPolicy
from inferloom.mesh.split import Split
from inferloom.mesh.xds.edge_settings import EdgeSettings
from inferloom.mesh.xds.exposures import PATH
from inferloom.mesh.xds.resources import Compiler
from tests.support.envoy import Envoy, running_envoy
from tests.support.static_edge import static_bootstrap

__all__ = ["Asked", "Front", "answering", "infer", "running_front"]

MIB = 1 << 20
OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.so_reuseport", 0),
]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as a server behind the edge saw it."""

    who: str  # "iris/one", "router" or "http"
    path: str
    headers: Mapping[str, str]
    body: bytes  # of a stream: its first message

    @property
    def message(self) -> Any:
        return pb.ModelInferRequest.FromString(self.body)


@dataclass
class Front:
    """The edge, and what has arrived behind it."""

    address: str
    envoy: Envoy
    channel: Any  # grpc.aio.Channel, of bytes
    session: aiohttp.ClientSession
    asked: list[Asked] = field(default_factory=list)

    async def call(
        self, body: bytes, path: str = MODEL_INFER.path, metadata: Iterable[tuple[str, str]] = (), **options: Any
    ) -> str:
        """Who answered a unary call, or the code and message of its error."""
        call = self.channel.unary_unary(path)(body, metadata=tuple(metadata), timeout=60, **options)
        return await _who(call)

    async def talk(self, *bodies: bytes, path: str = MODEL_STREAM_INFER.path) -> str:
        """Who answered a stream."""
        call = self.channel.stream_stream(path)(iter(bodies), timeout=30)
        try:
            answers = [answer.decode() async for answer in call]
        except grpc.aio.AioRpcError as error:
            return f"{error.code().name}: {error.details()}"
        return str(answers[0])

    async def listen(self, body: bytes, path: str) -> str:
        """Who answered a call with one request and several answers."""
        call = self.channel.unary_stream(path)(body, timeout=30)
        answers = [answer.decode() async for answer in call]
        return str(answers[0])

    async def http(
        self, path: str, body: bytes = b"{}", method: str = "POST", headers: Mapping[str, str] = {}
    ) -> tuple[int, dict[str, Any]]:
        """Status and JSON of an answer. The path is sent as it is written."""
        url = f"http://{self.address}{path}"
        async with self.session.request(
            method, URL(url, encoded=True), data=io.BytesIO(body), headers=headers, allow_redirects=False
        ) as answer:
            return answer.status, json.loads(await answer.read() or b"{}")

    @property
    def last(self) -> Asked:
        return self.asked[-1]


def infer(model: str = "iris", version: str = "", size: int = 0, **fields: Any) -> bytes:
    """A ModelInferRequest with a tensor of that many bytes."""
    raw = [bytes(size)] if size else []
    message = pb.ModelInferRequest(model_name=model, model_version=version, raw_input_contents=raw, **fields)
    return bytes(message.SerializeToString())


@asynccontextmanager
async def running_front(
    folder: Path,
    models: Mapping[str, Mapping[str, Sequence[str]]],
    splits: Mapping[str, Mapping[str, Any]] = {},
    *,
    services: Sequence[str] = (),
    router: str = "",
    down: Sequence[str] = (),
    change: Callable[[str], str] = str,
    **settings: Any,
) -> AsyncIterator[Front]:
    """An edge on a free port.

    Args:
        folder: for Envoy's files.
        models: model -> replica -> the versions it holds.
        splits: specs by model.
        services: those of the models that are services.
        router: a real router's address; "": a server that tells.
        change: made to Envoy's configuration, as JSON.
        down: replicas ("iris/one") that are in the catalog, and nobody listens at their ports.
        settings: further ones of EdgeSettings.
    """
    asked: list[Asked] = []
    async with AsyncExitStack() as stack:
        replicas = []
        for model, holding in models.items():
            for name, versions in holding.items():
                who = f"{model}/{name}"
                if who in down:
                    ports = (free_port(), free_port())
                else:
                    ports = (
                        await stack.enter_async_context(answering(who, asked)),
                        await stack.enter_async_context(_http(who, asked)),
                    )
                record = Replica(model, name, "127.0.0.1", ports[0], versions=tuple(versions), http_port=ports[1])
                replicas.append(replace(record, kind=Kind.SERVICE if model in services else Kind.MODEL))
        if not router:
            router = f"127.0.0.1:{await stack.enter_async_context(answering('router', asked))}"
        http = f"127.0.0.1:{await stack.enter_async_context(_http('http', asked))}"
        listen = Address("127.0.0.1", free_port())
        made = EdgeSettings(**{"listen": listen, "router": router, "http": http, **settings})
        known = {name: Split.from_json(name, spec) for name, spec in splits.items()}
        resources = Compiler(made).compile(Catalog.build(replicas), TrafficPolicy.of, known)
        envoy = stack.enter_context(running_envoy(json.loads(change(json.dumps(static_bootstrap(resources)))), folder))
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(str(listen), options=OPTIONS))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield Front(str(listen), envoy, channel, session, asked)


@asynccontextmanager
async def answering(who: str, asked: list[Asked]) -> AsyncIterator[int]:
    """A gRPC server that answers every method with its name; its port."""
    server = grpc.aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers((_Everything(who, asked),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


class _Everything(grpc.GenericRpcHandler):  # type: ignore[type-arg]
    def __init__(self, who: str, asked: list[Asked]) -> None:
        self._who, self._asked = who, asked

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        path = handler_call_details.method
        headers = {key: str(value) for key, value in handler_call_details.invocation_metadata or ()}
        who, asked = self._who, self._asked

        async def stream(requests: Any, context: Any) -> AsyncIterator[bytes]:
            first = True
            async for request in requests:
                if first:
                    asked.append(Asked(who, path, headers, request))
                first = False
                yield who.encode()

        async def unary(request: bytes, context: Any) -> bytes:
            asked.append(Asked(who, path, headers, request))
            return who.encode()

        if path == PATH:
            return None  # the edge's access log: nobody asked for anything
        if path.rpartition("/")[2] in ("ModelStreamInfer", "CallStream"):
            return grpc.stream_stream_rpc_method_handler(stream)
        return grpc.unary_unary_rpc_method_handler(unary)


@asynccontextmanager
async def _http(who: str, asked: list[Asked]) -> AsyncIterator[int]:
    """An HTTP server that answers everything with its name; its port."""

    async def answer(request: web.Request) -> web.Response:
        headers = {key.lower(): value for key, value in request.headers.items()}
        asked.append(Asked(who, request.raw_path, headers, await request.read()))
        return web.json_response({"who": who, "path": request.raw_path})

    application = web.Application(client_max_size=128 * MIB)
    application.router.add_route("*", r"/{tail:[\s\S]*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield port
    finally:
        await runner.cleanup()


async def _who(call: Any) -> str:
    try:
        answer: bytes = await call
    except grpc.aio.AioRpcError as error:
        return f"{error.code().name}: {error.details()}"
    return answer.decode()
