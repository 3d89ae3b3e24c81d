"""Splits in the edge: the same arm function as in Python, and figures and exposures as if the router had split."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from inferloom.mesh.oip import CALL
from inferloom.mesh.registry.memory import MemoryRegistry
from inferloom.mesh.router.router import Router
from inferloom.mesh.router.server import RouterServer, ServerSettings
from inferloom.mesh.split import KIND, Split
from inferloom.mesh.splits.exposure import Exposure
from inferloom.mesh.splits.ranges import point
from inferloom.mesh.xds.exposures import EdgeExposures
from tests.support.front import Front, infer, running_front
from tests.support.router import LOOPBACK, Mesh

WINE: dict[str, dict[str, list[str]]] = {
    "wine": {"one": ["1", "2", "3"], "two": ["1", "2", "3"]},
    "rose": {"one": ["7"]},
    "plan": {"one": ["1", "2", "3"]},
}
THIRDS: dict[str, Any] = {
    "arms": [{"name": "1", "share": 50}, {"name": "2", "share": 30}, {"name": "big", "version": "3", "share": 20}],
    "by": "user",
    "overrides": {"tester": "big"},
}
MIXED: dict[str, Any] = {
    "arms": [
        {"name": "1", "share": 40},
        {"name": "other", "model": "rose", "share": 30},
        {"name": "9", "share": 30},
        {"name": "2", "share": 0},
    ],
    "by": "user",
    "salt": "salt",
    "overrides": {"tester": "2"},
}


@asynccontextmanager
async def front_of(folder: Path, spec: dict[str, Any], router: str = "") -> AsyncIterator[Front]:
    async with running_front(folder, WINE, {"wine": spec, "plan": spec}, services=["plan"], router=router) as front:
        yield front


async def version(front: Front, user: str = "", model: str = "wine", **fields: Any) -> str:
    """The version a replica was asked for. One call at a time."""
    metadata = [("user", user)] if user else []
    assert (await front.call(infer(model, **fields), metadata=metadata)).partition("/")[0] in WINE
    told: str = front.last.message.model_version
    return told


async def test_thousands_of_units_get_the_arms_that_python_gives_them(tmp_path: Path) -> None:
    draw = random.Random(7)
    alphabet = [chr(code) for code in range(0x21, 0x7F)]
    users = [f"user-{number}" for number in range(1500)]
    users += ["".join(draw.choices(alphabet, k=size)) for size in [*range(1, 200)] * 3]
    users += ["x" * 5000, "tester"]
    async with front_of(tmp_path, THIRDS) as front:
        split = Split.from_json("wine", THIRDS)
        room = asyncio.Semaphore(32)

        async def ask(number: int, user: str) -> None:
            async with room:
                await front.call(infer("wine", id=str(number)), metadata=[("user", user)])

        await asyncio.gather(*(ask(number, user) for number, user in enumerate(users)))
        asked = {int(request.message.id): request.message.model_version for request in front.asked}
        assert asked == {number: split.arm(user).target_version for number, user in enumerate(users)}
        assert set(asked.values()) == {"1", "2", "3"}


async def test_without_a_unit_each_request_is_drawn_for_itself(tmp_path: Path) -> None:
    async with front_of(tmp_path, THIRDS) as front:
        await asyncio.gather(*(front.call(infer("wine")) for _ in range(1000)))
        drawn = Counter(asked.message.model_version for asked in front.asked)
        assert all(abs(drawn[name] - 10 * share) < 80 for name, share in (("1", 50), ("2", 30), ("3", 20))), drawn


async def test_what_names_a_version_and_what_is_a_sequence_is_not_split(tmp_path: Path) -> None:
    async with front_of(tmp_path, THIRDS) as front:
        metadata = [("user", "tester")]
        await front.call(infer("wine", "1"), metadata=metadata)
        assert front.last.message.model_version == "1"
        assert await front.talk(infer("wine")) == "router", "the messages of a stream are not written anew"
        assert await front.call(infer("wine", size=5 << 20), metadata=metadata) == "router"


async def test_typed_calls_and_rest_are_split_like_tensors(tmp_path: Path) -> None:
    async with front_of(tmp_path, THIRDS) as front:
        split = Split.from_json("wine", THIRDS)
        for user in ("tester", *(f"user-{number}" for number in range(20))):
            arm = split.arm(user).target_version
            status, told = await front.http("/v2/models/wine/infer?x=1", headers={"user": user})
            assert (status, told["path"]) == (200, f"/v2/models/wine/versions/{arm}/infer?x=1")
        assert await front.call(b"\x0a\x04plan\x1a\x02{}", CALL.path, metadata=[("user", "tester")]) == "plan/one"
        assert front.last.body == b"\x0a\x04plan\x1a\x02{}\x12\x013"


async def test_arms_of_other_models_stand_ins_and_overrides(tmp_path: Path) -> None:
    async with front_of(tmp_path, MIXED) as front:
        split = Split.from_json("wine", MIXED)
        users = [f"user-{number}" for number in range(60)]
        assert {split.arm(user).name for user in users} == {"1", "other", "9"}
        for user in users:
            who = await front.call(infer("wine"), metadata=[("user", user)])
            message = front.last.message
            if split.arm(user).name == "other":
                assert (who, message.model_name) == ("rose/one", "rose")
            else:
                assert who.startswith("wine/"), "nobody serves 9: the biggest arm stands in"
                assert (message.model_name, message.model_version) == ("wine", "1")
        assert await version(front, "tester") == "2"


async def test_the_router_counts_and_exposes_what_the_edge_has_split(tmp_path: Path) -> None:
    async with splitting_mesh(THIRDS) as (mesh, seen), front_of(tmp_path, THIRDS, mesh.address) as front:
        split = Split.from_json("wine", THIRDS)
        users = ["tester", *(f"user-{number}" for number in range(30))]
        for user in users:
            await version(front, user, id=f"id of {user}\té%")
        await front.http("/v2/models/wine/infer", headers={"user": "user-1", "x-request-id": "rest"})
        await front.call(infer("wine"))
        found = await until(seen, len(users) + 2)
        arms = mesh.router.splitting.splits["wine"].figures
        counted = {arm.name: arms.of(arm).codes.get("OK", 0) for arm in split.arms}
        assert counted == Counter(exposure.served for exposure in found)
        assert sum(arms.of(arm).overridden for arm in split.arms) == 1
        assert all(0 < arms.of(arm).latency.quantile(0.5) < 10 for arm in split.arms if counted[arm.name])
        by_id = {exposure.request_id: exposure for exposure in found}
        for user in users:
            exposure = by_id[f"id of {user}\té%"]
            expected = split.assign(user, 0.0)
            assert (exposure.arm, exposure.served) == (expected.arm.name, expected.arm.name)
            assert (exposure.unit, exposure.override) == (f"{point('wine', user):016x}", expected.override)
            assert exposure.propensity == pytest.approx(expected.propensity, abs=1e-15)
            assert abs(exposure.time - time.time()) < 60
            assert (exposure.code, exposure.mirrored) == ("OK", ())
            assert 0 < exposure.seconds < 10
        assert by_id["rest"].arm == split.arm("user-1").name
        (drawn,) = [exposure for exposure in found if not exposure.unit]
        assert drawn.propensity == pytest.approx({arm.name: arm.part for arm in split.arms}[drawn.arm], abs=1e-15)


async def test_a_request_that_the_edge_fails_to_read_is_the_routers(tmp_path: Path) -> None:
    def spoilt(config: str) -> str:
        assert '"split_spec"' in config
        return config.replace('"split_spec"', '"lost"')

    async with running_front(tmp_path, WINE, {"wine": THIRDS}, change=spoilt) as front:
        assert await front.call(infer("wine")) == "router"
        assert await front.call(infer("rose")) == "rose/one"
        assert (await front.http("/v2/models/wine/infer"))[1]["who"] == "http"
        assert "request left to the router" in front.envoy.log.read_text()


async def test_errors_of_replicas_are_counted_by_their_code(tmp_path: Path) -> None:
    down = ["wine/one", "wine/two"]
    async with (
        splitting_mesh(THIRDS) as (mesh, seen),
        running_front(tmp_path, WINE, {"wine": THIRDS}, router=mesh.address, down=down) as front,
    ):
        assert (await front.call(infer("wine"), metadata=[("user", "tester")])).startswith("UNAVAILABLE")
        assert (await front.http("/v2/models/wine/infer", headers={"user": "tester"}))[0] == 503
        assert [(exposure.arm, exposure.code) for exposure in await until(seen, 2)] == [("big", "UNAVAILABLE")] * 2


@asynccontextmanager
async def splitting_mesh(spec: dict[str, Any]) -> AsyncIterator[tuple[Mesh, list[Exposure]]]:
    """A real router that knows the split and is told by edges, and what it exposes."""
    seen: list[Exposure] = []
    registry = MemoryRegistry()
    await registry.documents.put(KIND, "wine", spec)
    router = Router(registry)
    server = RouterServer(router, ServerSettings(address=LOOPBACK), [EdgeExposures(router.splitting)])
    try:
        await router.start()
        await server.start()
        router.exposures.add(_Sink(seen))
        yield Mesh(router, server, registry), seen
    finally:
        await server.drain(0.0)
        await router.close()


class _Sink:
    def __init__(self, seen: list[Exposure]) -> None:
        self.record = seen.append


async def until(seen: list[Exposure], count: int) -> list[Exposure]:
    """Once so many have come."""
    end = time.monotonic() + 20
    while len(seen) < count:
        assert time.monotonic() < end, seen
        await asyncio.sleep(0.02)
    return seen
