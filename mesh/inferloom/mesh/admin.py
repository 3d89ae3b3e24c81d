"""The admin face of every role, over HTTP on loopback: /live /ready /catalog /config /stacks /metrics /loglevel."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any

from aiohttp import web
from prometheus_client.core import Metric

from inferloom.mesh.catalog import Catalog
from inferloom.mesh.clock import SYSTEM, Clock
from inferloom.mesh.errors import ConfigError
from inferloom.mesh.listen import Address, check_free
from inferloom.mesh.telemetry import logs
from inferloom.mesh.telemetry.metrics import CONTENT_TYPE, exposition, gauge
from inferloom.mesh.version import __version__

__all__ = ["Admin"]

LAG_EVERY = 0.5  # seconds between measurements of the event loop's lag


class Admin:
    """Serves what a role says of itself.

    Args:
        role: its name.
        ready: an empty string where it is ready, else why not.
        catalog: the newest one.
        config: the settings in force; no secrets.
        collect: its metrics.
    """

    def __init__(
        self,
        role: str,
        *,
        ready: Callable[[], str],
        catalog: Callable[[], Catalog],
        config: Callable[[], Mapping[str, Any]],
        collect: Callable[[], Iterable[Metric]],
        clock: Clock = SYSTEM,
    ) -> None:
        self._role = role
        self._ready = ready
        self._catalog = catalog
        self._config = config
        self._collect = collect
        self._clock = clock
        self._lag = 0.0
        self._runner: web.AppRunner | None = None
        self._measuring: asyncio.Task[None] | None = None

    async def start(self, address: Address, option: str = "--admin") -> Address:
        """Listen; port 0 chooses one.

        Raises:
            ConfigError: the port is in use.
        """
        check_free(address, option)
        app = web.Application()
        app.add_routes(
            [
                web.get("/live", self._get_live),
                web.get("/ready", self._get_ready),
                web.get("/catalog", self._get_catalog),
                web.get("/config", self._get_config),
                web.get("/stacks", self._get_stacks),
                web.get("/metrics", self._get_metrics),
                web.get("/loglevel", self._get_loglevel),
                web.post("/loglevel", self._post_loglevel),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await self._runner.setup()
        site = web.TCPSite(self._runner, address.host, address.port)
        await site.start()
        self._measuring = asyncio.create_task(self._measure(), name="event loop lag")
        return Address(address.host, self._runner.addresses[0][1])

    async def close(self) -> None:
        if self._measuring is not None:
            self._measuring.cancel()
            await asyncio.gather(self._measuring, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()

    async def _measure(self) -> None:
        while True:
            due = self._clock.now() + LAG_EVERY
            await self._clock.sleep(LAG_EVERY)
            self._lag = max(0.0, self._clock.now() - due)

    async def _get_live(self, request: web.Request) -> web.Response:
        return web.Response(text="live\n")

    async def _get_ready(self, request: web.Request) -> web.Response:
        why = self._ready()
        return web.Response(text=(why or "ready") + "\n", status=503 if why else 200)

    async def _get_catalog(self, request: web.Request) -> web.Response:
        catalog = self._catalog()
        models = {name: [asdict(replica) for replica in model.replicas] for name, model in catalog.models.items()}
        return _json({"index": catalog.index, "fresh": catalog.fresh, "models": models})

    async def _get_config(self, request: web.Request) -> web.Response:
        return _json({"role": self._role, "version": __version__, **self._config()})

    async def _get_stacks(self, request: web.Request) -> web.Response:
        """Where every task and thread is now: the first thing to ask of a process that hangs."""
        parts = []
        for task in asyncio.all_tasks():
            frames = "".join(f"  {f.f_code.co_filename}:{f.f_lineno} {f.f_code.co_name}\n" for f in task.get_stack())
            parts.append(f"task {task.get_name()}\n{frames}")
        for thread, frame in sys._current_frames().items():
            parts.append(f"thread {thread}\n" + "".join(traceback.format_stack(frame)))
        return web.Response(text="\n".join(parts))

    async def _get_metrics(self, request: web.Request) -> web.Response:
        body = exposition(self._collect, self._own)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})

    async def _get_loglevel(self, request: web.Request) -> web.Response:
        return web.Response(text=logs.level() + "\n")

    async def _post_loglevel(self, request: web.Request) -> web.Response:
        """The level is the body: debug, info, warning or error. From this machine alone: a probe's port may be open."""
        if not _local(request.remote):
            return web.Response(text="the log level is changed from this machine alone\n", status=403)
        if "Origin" in request.headers:  # a page in a browser on this machine
            return web.Response(text="not for browsers\n", status=403)
        try:
            logs.change_level((await request.text()).strip())
        except ConfigError as error:
            return web.Response(text=f"{error}\n", status=400)
        return await self._get_loglevel(request)

    def _own(self) -> Iterable[Metric]:
        text = "How late the event loop was to wake up."
        yield gauge("inferloom_event_loop_lag_seconds", text, ("role",), [((self._role,), self._lag)])
        yield gauge("inferloom_info", "1; the version.", ("role", "version"), [((self._role, __version__), 1.0)])
        yield gauge(
            "inferloom_ready", "1 where /ready says so.", ("role",), [((self._role,), float(not self._ready()))]
        )


def _local(remote: str | None) -> bool:
    return remote is not None and ipaddress.ip_address(remote.partition("%")[0]).is_loopback


def _json(value: Any) -> web.Response:
    return web.Response(text=json.dumps(value, default=str, indent=1) + "\n", content_type="application/json")
