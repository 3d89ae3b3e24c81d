"""The roles beside the sidecars: the router, and Consul where it is asked for."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from inferloom.cli.http import HttpPort
from inferloom.cli.up.fleet import INFERLOOM
from inferloom.cli.up.keeper import Keeper
from inferloom.cli.up.where import Where
from inferloom.mesh.admin import Admin
from inferloom.mesh.errors import InferloomError
from inferloom.mesh.listen import Address, free_port, parse_address
from inferloom.mesh.registry.base import Registry
from inferloom.mesh.router.router import MIB, Router, RouterSettings
from inferloom.mesh.router.server import RouterServer, ServerSettings
from inferloom.mesh.splits.log import ExposureLog
from inferloom.mesh.telemetry.tracing import from_environment
from inferloom.mesh.xds.exposures import EdgeExposures

__all__ = ["RouterRole", "router_process", "router_task"]

EXPOSURES = "exposures.jsonl"  # of the router's splits, beside its logs
START = 20.0  # seconds a role may take to say that it is ready


@dataclass(frozen=True, slots=True)
class RouterRole:
    """How the router of `up` is run."""

    admin: str  # HOST:PORT
    token: str  # allows writing
    drain: float  # seconds
    max_message_mib: int
    why_not_ready: Callable[[], str]  # for /ready, where the router is part of this process
    http: Address | None = None  # of JSON
    public: Address | None = None  # of the edge in front of it; None: there is none


async def router_task(
    registry: Registry, address: Address, role: RouterRole, logs: Path, stack: AsyncExitStack
) -> Where:
    """The router in this process. The stack drains it.

    Raises:
        ConfigError: a port is in use, or the file of exposures cannot be written.
    """
    from inferloom.services.typed.faces import Faces
    from inferloom.services.typed.grpc_face import TypedFace

    tracing = from_environment("inferloom-router")
    stack.callback(tracing.close)
    router = Router(registry, settings=RouterSettings(max_message=role.max_message_mib * MIB), tracing=tracing)
    record = ExposureLog(logs / EXPOSURES, option="up")
    await record.start()
    stack.push_async_callback(record.close)  # after the router: what it ends last is recorded, too
    router.exposures.add(record)
    await router.start()
    stack.push_async_callback(router.close)
    faces = Faces(router)
    await faces.start()
    stack.push_async_callback(faces.close)
    server = RouterServer(
        router,
        ServerSettings(address=address, write_token=role.token),
        [TypedFace(router, faces), EdgeExposures(router.splitting)],
    )
    where = await server.start()
    stack.push_async_callback(server.drain, 0)
    face = Admin(
        "up",
        ready=role.why_not_ready,
        catalog=lambda: registry.catalog,
        config=lambda: {"grpc": str(where), "registry": "memory"},
        collect=router.metrics.collect,
    )
    answers = await face.start(parse_address(role.admin, "--admin"))
    stack.push_async_callback(face.close)
    if role.http is None:
        return Where(where, str(answers), "", partial(server.drain, role.drain))
    port = HttpPort(router, role.http, faces=faces, public=role.public)
    stack.push_async_callback(port.close)

    async def drain() -> None:
        await port.close()
        await server.drain(role.drain)

    return Where(where, str(answers), str(await port.start()), drain)


async def router_process(
    registry: str,
    address: Address,
    role: RouterRole,
    folder: Path,
    logs: Path,
    stack: AsyncExitStack,
    control: str = "",
) -> Where:
    """The router as a process of its own, kept running. The stack drains it.

    Args:
        control: HOST:PORT of the process that watches Consul for this one; "": none.

    Raises:
        InferloomError: it does not start; says why.
    """
    token_file = folder / "write-token"
    with os.fdopen(os.open(token_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(role.token)
    # Ports are settled here, so that a router that is started again is found where it was.
    grpc = Address(address.host, address.port or free_port(address.host))
    face = parse_address(role.admin, "--admin")
    face = Address(face.host, face.port or free_port(face.host))
    argv = [*INFERLOOM, "router", "--grpc", str(grpc), "--admin", str(face), "--registry", registry]
    argv += ["--write-token-file", str(token_file), "--drain-timeout", str(role.drain)]
    argv += ["--max-message-mib", str(role.max_message_mib), "--exposures", str(logs / EXPOSURES)]
    if role.http is not None:
        argv += ["--http", str(role.http), *(["--public", str(role.public)] if role.public is not None else [])]
    argv += ["--control", control] if control else []
    started = asyncio.Event()
    keeper = Keeper(
        argv, "router", logs / "router.log", lambda line: started.set() if line.startswith("ready ") else None
    )
    keeper.start()
    stack.push_async_callback(keeper.stop, 5.0)
    deadline = asyncio.get_running_loop().time() + START
    while not started.is_set():
        if keeper.trouble:
            raise InferloomError(keeper.trouble)
        if asyncio.get_running_loop().time() > deadline:
            raise InferloomError(f"the router did not start within {START:.0f} s: {logs / 'router.log'} says more")
        await asyncio.sleep(0.05)
    return Where(grpc, str(face), str(role.http or ""), partial(keeper.stop, role.drain + 5))
