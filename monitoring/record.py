"""python -m monitoring.record: run real meshes, break one thing in each, and keep what a Prometheus would have scraped.

Each mesh has a Consul agent, a router, and Tritons with their sidecars or a host of services, all processes of their own,
under constant load. Nothing is stretched or made up: five and a half minutes pass before the cause, so that rates over five
minutes are whole, and two and a half after it. Only `up` is set here, as Prometheus would set it. Ten minutes in all.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gzip
import json
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

from monitoring.scene import EVERY, Scene

BEFORE, AFTER = 330, 150  # seconds
CALLERS = 4


async def kill_replica(scene: Scene) -> None:
    """A node that loses its power: sidecar and Triton are gone at once."""
    scene.children["sidecar-1"].signal(signal.SIGKILL)  # its Triton dies with it


async def kill_last(scene: Scene) -> None:
    """The same, and it was the only one."""
    scene.children["sidecar-0"].signal(signal.SIGKILL)


async def slow_model(scene: Scene) -> None:
    scene.seconds = 0.8


async def lose_consul(scene: Scene) -> None:
    assert scene.consul is not None
    scene.consul.child.signal(signal.SIGKILL)


async def spoil_split(scene: Scene) -> None:
    scene.bad.touch()


async def nothing(scene: Scene) -> None:
    return


Cause = Callable[[Scene], Awaitable[None]]


class Plan(NamedTuple):
    """What stands there, and what breaks."""

    cause: Cause
    tritons: int = 0
    services: bool = False
    gateway: bool = False


SCENES = {
    "quiet_day": Plan(nothing, 2, True),
    "killed_replica": Plan(kill_replica, 2),
    "slow_model": Plan(slow_model, 1),
    "consul_gone": Plan(lose_consul, 1),
    "split_gone_bad": Plan(spoil_split, services=True),
    "gateway_quiet_day": Plan(nothing, 2, True, gateway=True),
    "gateway_last_replica": Plan(kill_last, 1, gateway=True),
    "gateway_slow_model": Plan(slow_model, 1, gateway=True),
    "gateway_split_gone_bad": Plan(spoil_split, services=True, gateway=True),
}


async def record(name: str, folder: Path, before: int, after: int) -> tuple[int, list[dict[str, float]]]:
    """Run one; returns when its cause was, and its scrapes."""
    plan = SCENES[name]
    scene = Scene(folder, plan.tritons, plan.services, plan.gateway)
    scrapes: list[dict[str, float]] = []
    callers: list[asyncio.Task[Any]] = []
    try:
        await scene.begin()
        callers = [asyncio.create_task(scene.call(number)) for number in range(CALLERS)]
        await asyncio.sleep(EVERY)
        began = time.monotonic()
        async with aiohttp.ClientSession() as session:
            broken = False
            while len(scrapes) * EVERY <= before + after:
                await asyncio.sleep(max(0.0, began + len(scrapes) * EVERY - time.monotonic()))
                scrapes.append(await scene.scrape(session))
                if not broken and (len(scrapes) - 1) * EVERY >= before:
                    broken = True
                    await plan.cause(scene)
        print(f"{name}: {len(scrapes)} scrapes, {scene.failed} of the callers' requests failed", flush=True)
    finally:
        for task in callers:
            task.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
        await scene.end()
    return (0 if plan.cause is nothing else before), scrapes


async def run(names: list[str], raw: Path, before: int, after: int) -> None:
    with contextlib.ExitStack() as stack:
        folders = [Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f"{name}-"))) for name in names]
        done = await asyncio.gather(
            *(record(name, folder, before, after) for name, folder in zip(names, folders, strict=True))
        )
    raw.mkdir(parents=True, exist_ok=True)
    for name, (cause, scrapes) in zip(names, done, strict=True):
        with gzip.open(raw / f"{name}.json.gz", "wt") as file:
            json.dump({"every": EVERY, "cause": cause, "scrapes": scrapes}, file)


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m monitoring.record", description=(__doc__ or "").split("\n\n")[0])
    options.add_argument("scene", nargs="*", choices=[*SCENES, []], help="which; default: all, side by side")
    options.add_argument("--raw", type=Path, required=True, help="folder for everything that was scraped")
    options.add_argument("--before", type=int, default=BEFORE, help="seconds before the cause")
    options.add_argument("--after", type=int, default=AFTER, help="seconds after it")
    given = options.parse_args()
    asyncio.run(run(given.scene or list(SCENES), given.raw, given.before, given.after))
    from monitoring.keep import keep

    keep(given.raw)


if __name__ == "__main__":
    main()
