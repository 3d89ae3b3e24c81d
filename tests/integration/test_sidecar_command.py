"""`inferloom sidecar` as a process: when it says that it is ready."""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
from pathlib import Path

import aiohttp

from inferloom.mesh.listen import free_port
from inferloom.mesh.process import start
from tests.support.sidecar import BAD, write_model


async def asked(admin: str) -> tuple[int, str]:
    """Status and text of /ready; (0, "") while nobody listens."""
    try:
        async with aiohttp.ClientSession() as session, session.get(f"http://{admin}/ready") as answer:
            return answer.status, (await answer.text()).strip()
    except aiohttp.ClientConnectionError:
        return 0, ""


async def until_asked(admin: str, status: int) -> str:
    """The text of /ready, once it has this status."""
    async with asyncio.timeout(60):
        while (found := await asked(admin))[0] != status:
            await asyncio.sleep(0.02)
    return found[1]


async def test_it_is_ready_once_its_models_were_tried_and_not_while_none_of_them_serves(tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    write_model(models, "double")
    write_model(models, "broken", source=BAD)
    admin = f"127.0.0.1:{free_port()}"
    lines: asyncio.Queue[str] = asyncio.Queue()
    words = ("sidecar", "--repository", str(models), "--registry", "memory", "--admin", admin)
    child = await start([sys.executable, "-m", "inferloom.cli", *words], on_line=lines.put_nowait, name="sidecar")
    try:
        assert await until_asked(admin, 200) == "ready"
        async with asyncio.timeout(60):
            while not (line := await lines.get()).startswith("ready "):
                pass
        assert line.strip() == f"ready admin={admin} models=double:1 refused=broken"
        shutil.rmtree(models / "double")
        assert re.match("no model serves: broken: .*this model is broken", await until_asked(admin, 503))
        shutil.rmtree(models / "broken")
        assert await until_asked(admin, 200) == "ready"
    finally:
        await child.stop(20)
