"""The Envoy on this machine: which program it is, and its admin port."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import aiohttp

from inferloom.mesh.errors import ConfigError
from inferloom.mesh.listen import Address
from inferloom.mesh.xds.types import EDGE

__all__ = ["CURE", "EnvoyAdmin", "find_envoy", "need_edge", "version_of"]

CURE = "gateway: envoy needs Envoy: pip install 'inferloom[edge]' (Linux, macOS), or set ENVOY_BIN to one you have"
LOAD = rf"^http\.{EDGE}\.downstream_(cx_active|rq_active|rq_total)$"  # of the listener that clients reach
PATIENCE = 2.0  # seconds for an answer of the admin port


def find_envoy(environ: Mapping[str, str] = os.environ) -> Path:
    """The program: $ENVOY_BIN, else the one the extra `edge` installs with this Python, else the one on PATH.

    Raises:
        ConfigError: there is none; says how to get one.
    """
    if own := environ.get("ENVOY_BIN"):
        if not os.access(own, os.X_OK) or not Path(own).is_file():
            raise ConfigError(f"ENVOY_BIN: {own} is no program")
        return Path(own)
    package = find_spec("envoy")
    for place in package.submodule_search_locations or () if package is not None else ():
        program = Path(place) / "_bin" / "envoy"  # without the start of a Python that `envoy` beside it is
        if os.access(program, os.X_OK):
            return program
    beside = Path(sys.executable).parent / "envoy"
    found = str(beside) if os.access(beside, os.X_OK) else shutil.which("envoy", path=environ.get("PATH"))
    if found is None:
        raise ConfigError(CURE)
    return Path(found)


def need_edge(environ: Mapping[str, str] = os.environ) -> Path:
    """As `find_envoy`, and the messages of its control plane must be there, too."""
    program = find_envoy(environ)
    if find_spec("envoy_data_plane") is None:
        raise ConfigError("gateway: envoy needs envoy-data-plane: pip install 'inferloom[edge]'")
    return program


async def version_of(program: Path) -> str:
    """As "1.39.3".

    Raises:
        ConfigError: the program does not run, or is no Envoy.
    """
    try:
        process = await asyncio.create_subprocess_exec(program, "--version", stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL)
        said, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    except (OSError, TimeoutError) as error:
        raise ConfigError(f"{program} does not run: {error or 'it does not answer'}") from None
    # envoy  version: 6eb0d2d97489ec1b4e1584a004f5de443d97a41b/1.39.3/Clean/RELEASE/BoringSSL
    words = said.decode(errors="replace").partition("version:")[2].strip().split("/")
    if process.returncode != 0 or len(words) < 2:
        raise ConfigError(f"{program} is no Envoy")
    return words[1]


class EnvoyAdmin:
    """An Envoy's admin port."""

    def __init__(self, address: Address) -> None:
        self._base = f"http://{address}"
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE))

    async def close(self) -> None:
        await self._session.close()

    async def live(self) -> bool:
        """Whether it has all it was told to wait for, and takes traffic."""
        try:
            async with self._session.get(f"{self._base}/ready") as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def listeners(self) -> list[str]:
        """HOST:PORT of each it listens on; one that Envoy alone reaches has none."""
        found = await self._json("/listeners?format=json")
        places = [entry["local_address"].get("socket_address") for entry in found.get("listener_statuses", ())]
        return [str(Address(each["address"], int(each["port_value"]))) for each in places if each is not None]

    async def load(self) -> tuple[int, int, int]:
        """Of its clients: connections and requests now, and requests so far."""
        found = await self.stats(LOAD)
        sums = dict.fromkeys(("downstream_cx_active", "downstream_rq_active", "downstream_rq_total"), 0)
        for name, count in found.items():
            sums[name.rpartition(".")[2]] += count
        connections, requests, total = sums.values()
        return connections, requests, total

    async def stats(self, pattern: str) -> dict[str, int]:
        """Counters and gauges whose names match."""
        found = await self._json("/stats", params={"format": "json", "filter": pattern})
        return {entry["name"]: int(entry["value"]) for entry in found.get("stats", ()) if "value" in entry}

    async def post(self, path: str) -> None:
        """Raises aiohttp.ClientError, TimeoutError: it is gone, or does not take it."""
        async with self._session.post(self._base + path) as answer:
            answer.raise_for_status()

    async def _json(self, path: str, params: Mapping[str, str] | None = None) -> dict[str, Any]:
        async with self._session.get(self._base + path, params=params) as answer:
            answer.raise_for_status()
            found: dict[str, Any] = await answer.json(content_type=None)
            return found
