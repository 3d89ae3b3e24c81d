"""Edges are read at the port that each one names, whatever answers there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from inferloom.mesh.clock import SYSTEM
from inferloom.mesh.xds import edge_reader
from inferloom.mesh.xds.discovery import Node
from inferloom.mesh.xds.edge_figures import EdgeFigures
from inferloom.mesh.xds.edge_lifetime import UPTIME, Counted
from inferloom.mesh.xds.edge_reader import EdgeReader
from inferloom.mesh.xds.edge_settings import ADMIN_KEY

HOST = {
    "address": {"socket_address": {"address": "10.0.0.1", "port_value": 8001}},
    "stats": [{"name": name, "value": "4"} for name in ("rq_total", "rq_success", "rq_error", "rq_active")],
}
CLUSTERS = {"cluster_statuses": [{"name": "model/iris", "host_statuses": [HOST]}]}


class Rounds:
    """Sleeps are counted; after so many the reader is ended."""

    now, wall = SYSTEM.now, SYSTEM.wall

    def __init__(self, rounds: int, then: Callable[[], None] = lambda: None) -> None:
        self.rounds = rounds
        self.then = then

    async def sleep(self, seconds: float) -> None:
        self.rounds -= 1
        self.then()
        if not self.rounds:
            raise InterruptedError


class Admin:
    """Stands for the admin face of an Envoy, and for what is none."""

    def __init__(self) -> None:
        self.stats: Any = {"stats": [{"name": UPTIME, "value": 1}]}
        self.asked: list[str] = []
        self.moved = False

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.path}")
        if self.moved and request.path == "/stats":
            raise web.HTTPTemporaryRedirect("/elsewhere")
        return web.json_response(self.stats if request.path == "/stats" else CLUSTERS)


@asynccontextmanager
async def serving(admin: Admin) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", admin.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class Heard:
    """A watcher that may fail."""

    def __init__(self, fails: int = 0) -> None:
        self.settled = 0
        self._fails = fails

    def read(self, node: str, stats: Sequence[Mapping[str, Any]], counted: Counted) -> None:
        assert node

    def runtime(self, slow_after: Mapping[str, float]) -> Mapping[str, str]:
        return {}

    def settle(self, edges: Mapping[str, EdgeFigures]) -> None:
        self.settled += 1
        if self.settled <= self._fails:
            raise AttributeError("odd")


async def rounds(nodes: Mapping[str, str], clock: Rounds, watcher: Heard | None = None) -> tuple[EdgeReader, list[Any]]:
    """What a reader has, and what it logged of edges."""

    def known() -> Iterable[Node]:
        return [Node(node, metadata={ADMIN_KEY: address}) for node, address in nodes.items()]

    reader = EdgeReader(known, dict, clock, watcher)
    with capture_logs() as lines, pytest.raises(InterruptedError):
        await reader.run()
    return reader, lines


@pytest.mark.parametrize("address", ["10.0.0.1:9901", "", "nonsense"])
async def test_an_edge_is_asked_on_this_machine_alone(address: str) -> None:
    reader, (line, _) = await rounds({"e": address}, Rounds(1))
    assert (line["node"], line["admin"]) == ("e", address)
    assert reader.edges["e"].up is False


async def test_an_answer_of_another_shape_keeps_nobody_from_being_read() -> None:
    odd, good = Admin(), Admin()
    async with serving(odd) as first, serving(good) as second:
        for stats in (["no object"], {"stats": [7]}, {"stats": None}, {}):
            odd.stats = stats
            reader, lines = await rounds({"odd": first, "good": second}, Rounds(2), Heard())
            assert [line["node"] for line in lines if "node" in line] == ["odd"], "once"
            assert (reader.edges["odd"].up, reader.edges["good"].up) == (False, True)
    assert all(each.startswith("GET ") for each in odd.asked), "nothing is set at what is no Envoy"


async def test_what_cannot_be_taken_together_once_may_be_the_next_time() -> None:
    watcher = Heard(fails=2)
    _, lines = await rounds({}, Rounds(4), watcher)
    assert watcher.settled == 4
    assert [line["why"] for line in lines[:-1]] == ["AttributeError: odd"]


async def test_that_nobody_reads_any_more_is_logged() -> None:
    _, lines = await rounds({}, Rounds(1))
    assert [(line["log_level"], line["event"]) for line in lines] == [("error", "edges' figures are read no more")]


async def test_it_goes_nowhere_else_and_sets_nothing_where_it_is_sent_away() -> None:
    admin = Admin()
    admin.moved = True
    async with serving(admin) as address:
        reader, (line, _) = await rounds({"e": address}, Rounds(1), Heard())
    assert admin.asked == ["GET /stats"]
    assert line["why"] == "/stats answers with HTTP status 307"
    assert reader.edges["e"].up is False


async def test_no_more_is_read_than_an_envoy_may_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_reader, "MOST", 1000)
    admin = Admin()
    admin.stats = {"stats": ["x" * 2000]}
    async with serving(admin) as address:
        _, (line, _) = await rounds({"e": address}, Rounds(1))
    assert line["why"] == "/stats has more than 1000 bytes"


async def test_of_an_edge_that_is_read_no_more_only_its_counts_stay() -> None:
    admin = Admin()
    flights: list[list[tuple[int, int]]] = []

    def look() -> None:
        flights.append([(load.in_flight, load.answered) for load in reader_of[0].edges["e"].servers.values()])
        admin.moved = True

    reader_of: list[EdgeReader] = []
    async with serving(admin) as address:
        node = Node("e", metadata={ADMIN_KEY: address})
        reader_of.append(EdgeReader(lambda: [node], dict, Rounds(2, look)))
        with pytest.raises(InterruptedError):
            await reader_of[0].run()
    assert flights == [[(4, 4)], [(0, 4)]]
