"""What is kept of what edges tell, and how much of it is looked at."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

from inferloom.mesh.catalog import Catalog, Replica
from inferloom.mesh.clock import ManualClock
from inferloom.mesh.explain.explainer import MOST_A_SECOND, Explainer
from inferloom.mesh.router.security import Tokens
from inferloom.mesh.xds.access_log_messages import StreamAccessLogsMessage
from inferloom.mesh.xds.edge_stories import EdgeStories

CATALOG = Catalog.build([Replica("iris", "a", "10.0.0.1", 8001, versions=("1",))])


class Rig:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.explainer = Explainer(self.clock, random.Random(1), "control")
        self.looked = 0
        self.stories = EdgeStories(self.explainer, self._inputs, Tokens(()))

    def _inputs(self) -> Any:
        self.looked += 1
        return SimpleNamespace(catalog=CATALOG, splits={})

    async def tell(self, count: int, *, failed: bool, milliseconds: int = 1) -> None:
        """An edge called e tells of so many requests."""
        message = StreamAccessLogsMessage()
        message.identifier.node.id = "e"
        for number in range(count):
            entry = message.http_logs.entries.add()
            entry.common.upstream_cluster = "model/iris"
            entry.common.duration.FromMilliseconds(milliseconds)
            entry.request.request_id = f"r-{number}"
            entry.response.code.value = 200
            entry.response.trailers.add(key="grpc-status", value="14" if failed else "0")

        async def batches() -> AsyncIterator[bytes]:
            yield message.SerializeToString()

        await self.stories._take(batches(), SimpleNamespace(invocation_metadata=tuple))


async def test_of_a_flood_no_more_is_looked_at_than_is_kept() -> None:
    rig = Rig()
    await rig.tell(5000, failed=True)
    assert rig.looked == len(rig.explainer.recent) == MOST_A_SECOND
    await rig.clock.advance(1)
    await rig.tell(1, failed=True)
    assert rig.looked == MOST_A_SECOND + 1


async def test_what_is_slow_is_judged_where_the_edges_answers_are_known() -> None:
    rig = Rig()
    rig.explainer.edges = {"e"}
    await rig.tell(1, failed=False, milliseconds=900)
    assert not rig.explainer.recent.list(), "nothing is slow yet"
    pace = rig.explainer.pace("iris")
    pace.add_counted(0.5, 1000)
    pace.refresh(rig.clock.now())
    await rig.tell(1, failed=False, milliseconds=400)
    assert not rig.explainer.recent.list()
    await rig.tell(1, failed=False, milliseconds=900)
    (told,) = rig.explainer.recent.list()
    assert (told["kind"], told["process"], told["slow_over_ms"] < 900) == ("slow", "edge e", True)


async def test_what_an_edge_of_another_control_plane_tells_as_slow_is_kept() -> None:
    rig = Rig()
    rig.explainer.edges = {"another"}
    await rig.tell(1, failed=False, milliseconds=900)
    (told,) = rig.explainer.recent.list()
    assert (told["kind"], told["ms"], "slow_over_ms" in told) == ("slow", 900, False)
    assert not rig.explainer.paces, "nothing is known of its pace"
