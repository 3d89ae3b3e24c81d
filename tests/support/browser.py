"""A real headless Chromium, driven over its DevTools protocol: https://chromedevtools.github.io/devtools-protocol/."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

__all__ = ["Page", "browsing"]

START = 60.0  # seconds it may take on a busy machine
OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # tests may run as root, for whom it has none
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
    "--remote-debugging-port=0",
    "--window-size=1100,1000",
)


class Page:
    """One tab.

    Attributes:
        hosts: what it has asked anything of.
        problems: errors of its scripts, and what its Content-Security-Policy refused.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.hosts: set[str] = set()
        self.problems: list[str] = []
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.reading = asyncio.create_task(self._read(), name="read DevTools")

    async def open(self, url: str) -> None:
        for domain in ("Page", "Network", "Runtime", "Log"):
            await self._send(f"{domain}.enable")
        await self._send("Page.navigate", url=url)

    async def run(self, script: str) -> Any:
        """The value of an expression, awaited where it is a promise. AssertionError where it throws."""
        answer = await self._send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def until(self, script: str, seconds: float = 60.0) -> Any:
        """The value of an expression once it is true."""
        try:
            async with asyncio.timeout(seconds):
                while not (value := await self.run(script)):
                    await asyncio.sleep(0.05)
        except TimeoutError:
            text = await self.run("document.body.innerText")
            raise AssertionError(f"{script} is not so; {self.problems}; the page says:\n{text[:2000]}") from None
        return value

    async def press(self, key: str, code: int, text: str = "") -> None:
        """A key, as a keyboard sends it."""
        for kind in ("keyDown", "keyUp"):
            await self._send(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, text=text
            )

    async def screenshot(self, path: Path) -> None:
        """What is to be seen, as PNG."""
        answer = await self._send("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(answer["data"]))

    async def _send(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        return await asyncio.wait_for(future, START)

    async def _read(self) -> None:
        async for message in self._socket:
            said = json.loads(message.data)
            if "id" in said:
                future = self._waiting.pop(said["id"])
                if future.done():  # nobody waits any more
                    continue
                if "error" in said:
                    future.set_exception(AssertionError(said["error"]))
                else:
                    future.set_result(said["result"])
                continue
            found = said["params"]
            match said["method"]:
                case "Network.requestWillBeSent":
                    url = urlsplit(found["request"]["url"])
                    if url.scheme not in ("data", "blob"):
                        self.hosts.add(url.netloc)
                case "Runtime.exceptionThrown":
                    self.problems.append(str(found["exceptionDetails"]))
                case "Log.entryAdded":
                    if found["entry"]["level"] == "error":
                        self.problems.append(found["entry"]["text"])


@asynccontextmanager
async def browsing(folder: Path) -> AsyncIterator[Page]:
    """A page in a browser of its own.

    Args:
        folder: for its profile and its log.
    """
    program = shutil.which("chromium")
    assert program is not None, "no chromium: scripts/setup test installs it (apt-get install chromium)"
    log = (folder / "chromium.log").open("wb")
    process = subprocess.Popen(
        [program, *OPTIONS, f"--user-data-dir={folder / 'profile'}", "about:blank"],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    try:
        port = await _port(folder / "profile" / "DevToolsActivePort", process, folder / "chromium.log")
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                tabs = await answer.json()
            url = next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")
            async with session.ws_connect(url, max_msg_size=0) as socket:
                page = Page(socket)
                try:
                    yield page
                finally:
                    page.reading.cancel()
                    await asyncio.gather(page.reading, return_exceptions=True)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # a group of its own, made above
        process.wait()
        log.close()


async def _port(told: Path, process: subprocess.Popen[bytes], log: Path) -> int:
    """The port it listens on; it writes it down when it does."""
    async with asyncio.timeout(START):
        while not (told.exists() and told.read_text().strip()):
            assert process.poll() is None, f"chromium ended:\n{log.read_text()[-2000:]}"
            await asyncio.sleep(0.02)
    return int(told.read_text().splitlines()[0])
