"""The admin face without a server: its handlers, asked directly."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp.test_utils import make_mocked_request

from inferloom.mesh.admin import Admin
from inferloom.mesh.catalog import Catalog
from inferloom.mesh.clock import ManualClock
from inferloom.mesh.telemetry import logs
from tests.unit.mesh.fakes import replica


def admin(why: str = "", clock: ManualClock | None = None) -> Admin:
    return Admin(
        "router",
        ready=lambda: why,
        catalog=lambda: Catalog.build([replica("a")]),
        config=lambda: {"grpc": "127.0.0.1:8081"},
        collect=tuple,
        clock=clock or ManualClock(),
    )


async def get(face: Admin, path: str) -> tuple[int, str]:
    handler: Any = getattr(face, f"_get_{path}")
    response = await handler(make_mocked_request("GET", f"/{path}"))
    return response.status, (response.body if isinstance(response.body, bytes) else response.body._value).decode()


async def test_it_is_live_and_ready_or_says_why_not() -> None:
    assert await get(admin(), "live") == (200, "live\n")
    assert await get(admin(), "ready") == (200, "ready\n")
    assert await get(admin("no catalog yet"), "ready") == (503, "no catalog yet\n")


async def test_the_catalog_is_json() -> None:
    status, body = await get(admin(), "catalog")
    found = json.loads(body)
    assert (status, found["index"], found["fresh"]) == (200, 1, True)
    assert found["models"]["iris"][0]["versions"] == ["1"]
    assert found["models"]["iris"][0]["state"] == "serving"


async def test_the_configuration_names_role_and_version() -> None:
    _, body = await get(admin(), "config")
    assert json.loads(body)["role"] == "router"
    assert json.loads(body)["grpc"] == "127.0.0.1:8081"


async def test_the_stacks_show_where_each_task_is() -> None:
    async def somewhere() -> None:
        await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(somewhere(), name="lost")
    await asyncio.sleep(0)
    _, body = await get(admin(), "stacks")
    assert "task lost" in body
    assert "somewhere" in body
    assert "thread" in body
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_metrics_have_the_event_loops_lag() -> None:
    class Late(ManualClock):
        naps = 0

        async def sleep(self, seconds: float) -> None:
            self.naps += 1
            self._now += seconds + 0.25
            if self.naps > 1:
                await asyncio.get_running_loop().create_future()

    face = admin(clock=Late())
    measuring = asyncio.create_task(face._measure())
    await asyncio.sleep(0)
    assert 'inferloom_event_loop_lag_seconds{role="router"} 0.25' in (await get(face, "metrics"))[1]
    measuring.cancel()
    await asyncio.gather(measuring, return_exceptions=True)


async def asked(remote: str, body: str = "debug", headers: dict[str, str] | None = None) -> tuple[int, str]:
    class _Transport:
        def get_extra_info(self, key: str, default: Any = None) -> Any:
            return (remote, 1) if key == "peername" else default

    request = make_mocked_request("POST", "/loglevel", headers=headers, transport=_Transport())
    request._read_bytes = body.encode()
    response = await admin()._post_loglevel(request)
    assert isinstance(response.text, str)
    return response.status, response.text


async def test_the_log_level_changes_while_it_runs_and_from_this_machine_alone() -> None:
    logs.change_level("warning")
    try:
        assert await asked("127.0.0.1") == (200, "debug\n")
        assert await asked("::1", "info\n") == (200, "info\n")
        assert (await asked("10.0.0.7"))[0] == 403
        assert (await asked("127.0.0.1", headers={"Origin": "http://example.org"}))[0] == 403
        status, why = await asked("127.0.0.1", "loud")
        assert (status, why) == (400, "log level 'loud' is none of debug, info, warning, error\n")
        assert await get(admin(), "loglevel") == (200, "info\n")
    finally:
        logs.change_level("warning")
