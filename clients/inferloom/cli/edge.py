"""`inferloom edge`: Envoy in front of the mesh, fed by the control plane, drained before it ends."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import os
import re
import socket
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from inferloom.cli.envoy import EnvoyAdmin, find_envoy
from inferloom.cli.signals import stop_requested
from inferloom.mesh.clock import SYSTEM
from inferloom.mesh.errors import ConfigError, InferloomError
from inferloom.mesh.listen import Address, check_free, free_port, parse_address
from inferloom.mesh.process import Child, start
from inferloom.mesh.router.security import read_token
from inferloom.mesh.xds.bootstrap import BootstrapSettings, bootstrap
from inferloom.mesh.xds.edge_settings import EdgeSettings

__all__ = ["EdgeOptions", "run_edge"]

MIB = 1024 * 1024
REFUSED = re.compile(r"lds: listener \S+ config rejected: (.*)")
LOOK = 0.05  # seconds between looks at Envoy
TOLD = 5.0  # seconds without a control plane after which that is said
TURN = 1.0  # seconds in which clients are told to go elsewhere while new connections are still taken
QUIET = 0.5  # seconds without a request, once its port is closed, after which open connections are idle ones


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeOptions:
    """As the command line gives them."""

    listen: str
    control: str  # HOST:PORT, several separated by commas
    token_file: Path | None = None  # for the control plane
    admin: str = "127.0.0.1:0"
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    access_log: str = "failures"
    zone: str = ""
    concurrency: int = 0  # threads; 0: as many as the machine has
    drain_timeout: float = 30.0  # seconds
    max_message_mib: int = 64
    max_memory_mib: int = 2048


async def run_edge(options: EdgeOptions) -> None:
    """Serve until SIGINT or SIGTERM, then drain.

    Raises:
        ConfigError: an option is wrong, a port in use, there is no Envoy, or it refuses what the control plane sends.
        InferloomError: Envoy has ended.
    """
    program = find_envoy()
    stop = stop_requested()
    listen = _address(options.listen, "--listen")
    admin = _address(options.admin, "--admin")
    settings = _settings(options, listen, admin)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="inferloom-edge-")))
        written = folder / "bootstrap.json"  # its folder is for this user alone: there may be a token in it
        written.write_text(json.dumps(bootstrap(settings)))
        argv = [str(program), "--config-path", str(written), "--use-dynamic-base-id"]
        argv += ["--log-level", "warning"]
        if options.concurrency:
            argv += ["--concurrency", str(options.concurrency)]
        refused: list[str] = []  # why it took no listener
        child = await start(argv, name="Envoy", on_line=lambda line: _read(line, refused))
        stack.push_async_callback(child.stop, 5.0)
        face = EnvoyAdmin(admin)
        stack.push_async_callback(face.close)
        ended = asyncio.create_task(child.wait(), name="wait for Envoy")
        stopping = asyncio.create_task(stop.wait())
        starting = asyncio.create_task(_listening(face, listen, options.control, refused), name="wait until it listens")
        stack.push_async_callback(_cancel, stopping, starting, ended)
        await asyncio.wait({ended, stopping, starting}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting
            print(f"ready grpc={listen} http={listen} admin={admin}", flush=True)
            await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            await _drain(face, child, options.drain_timeout)
        else:
            raise InferloomError(child.why())


def _address(text: str, option: str) -> Address:
    address = _numeric(parse_address(text, option), option)
    check_free(address, option)  # Envoy shares a port silently, as grpc does
    return Address(address.host, address.port or free_port(address.host))


def _numeric(address: Address, option: str) -> Address:
    """Envoy listens at IP addresses alone."""
    try:
        ipaddress.ip_address(address.host)
    except ValueError:
        try:
            found = socket.getaddrinfo(address.host, address.port, socket.AF_INET, socket.SOCK_STREAM)
        except OSError as error:
            raise ConfigError(f"{option}: {address.host} has no IPv4 address: {error.strerror or error}") from None
        return Address(str(found[0][4][0]), address.port)
    return address


def _settings(options: EdgeOptions, listen: Address, admin: Address) -> BootstrapSettings:
    if (options.tls_cert is None) != (options.tls_key is None):
        raise ConfigError("--tls-cert and --tls-key belong together: give both or none")
    files = {"tls_cert": options.tls_cert, "tls_key": options.tls_key, "tls_client_ca": options.tls_client_ca}
    for key, path in files.items():
        if path is not None and not os.access(path, os.R_OK):
            raise ConfigError(f"--{key.replace('_', '-')}: {path} cannot be read")
    control = tuple(parse_address(each.strip(), "--control") for each in options.control.split(",") if each.strip())
    edge = EdgeSettings(
        listen=listen,
        tls_cert=_absolute(options.tls_cert),
        tls_key=_absolute(options.tls_key),
        tls_client_ca=_absolute(options.tls_client_ca),
        access_log=options.access_log,
        zone=options.zone,
        max_message=options.max_message_mib * MIB,
    )
    return BootstrapSettings(
        node=f"{socket.gethostname()}/{listen}",
        admin=admin,
        control=control,
        edge=edge,
        max_memory=options.max_memory_mib * MIB,
        token=read_token(options.token_file) if options.token_file is not None else "",
    )


def _absolute(path: Path | None) -> str:
    return str(path.resolve()) if path is not None else ""


async def _listening(face: EnvoyAdmin, listen: Address, control: str, refused: Sequence[str]) -> None:
    """Until Envoy takes calls; says so where no control plane answers.

    Raises:
        ConfigError: Envoy refuses its listener.
    """
    began, said = SYSTEM.now(), False
    while True:
        if await face.live() and str(listen) in await face.listeners():
            return
        if refused:
            raise ConfigError(f"Envoy refuses its listener: {refused[0]}")
        if not said and SYSTEM.now() - began > TOLD:
            said = True
            _show(f"waiting for the control plane at {control}")
        await asyncio.sleep(LOOK)


async def _drain(face: EnvoyAdmin, child: Child, timeout: float) -> None:
    """Health fails, and each connection is told to go with its next answer; then its port closes; then it waits for the rest.

    What is left when nothing has been asked for a while are connections that nobody uses.
    """
    try:
        async with asyncio.timeout(timeout):
            if (await face.load())[0] == 0:
                return
            await face.post("/healthcheck/fail")
            await asyncio.sleep(TURN)
            await face.post(
                "/drain_listeners"
            )  # not `graceful`: that has been done, and with skip_exit it closes no port
            asked, quiet_since = -1, SYSTEM.now()
            while child.returncode is None:
                connections, requests, total = await face.load()
                if requests or total != asked:
                    asked, quiet_since = total, SYSTEM.now()
                if not connections or SYSTEM.now() - quiet_since > QUIET:
                    return
                await asyncio.sleep(LOOK)
    except (aiohttp.ClientError, TimeoutError):
        return  # it has ended by itself, or the time is over: it is ended as it is


def _read(line: str, refused: list[str]) -> None:
    if found := REFUSED.search(line):
        refused.append(found[1])
    _show(line)


def _show(line: str) -> None:
    """Envoy's warnings and the access log are for whoever runs it."""
    print(line, flush=True)


async def _cancel(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
