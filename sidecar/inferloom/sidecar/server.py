"""One run of a Triton process: started, answering, stopped."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence

import structlog

from inferloom.mesh.errors import ConfigError
from inferloom.mesh.listen import Address, check_free, parse_address
from inferloom.mesh.process import Child, start
from inferloom.sidecar import shared_memory
from inferloom.sidecar.board import Life
from inferloom.sidecar.config import SidecarConfig
from inferloom.sidecar.diagnosis import why_ended
from inferloom.sidecar.flags import is_vulnerable, trace_flags
from inferloom.sidecar.ports import free_ports
from inferloom.sidecar.runtime import Runtime
from inferloom.sidecar.triton import TritonClient, TritonError

__all__ = ["Server", "StartFailed", "attach", "refuse_vulnerable", "start_server"]

log = structlog.get_logger(__name__)

ATTEMPTS = 3


class StartFailed(Exception):
    """Triton did not come up; the text says why in one line."""


class Server:
    """A Triton that answers, and the connection to it. `child` is None where it was attached to."""

    def __init__(
        self,
        life: Life,
        client: TritonClient,
        child: Child | None = None,
        *,
        metrics_port: int = 0,
        metrics_host: str = "127.0.0.1",
        memory_prefix: str = "",
        cleanup: Sequence[str] = (),
    ) -> None:
        self.life = life
        self.client = client
        self.child = child
        self.metrics_port = metrics_port  # 0: not known
        self.metrics_host = metrics_host
        self._memory_prefix = memory_prefix
        self._cleanup = cleanup

    async def stop(self, grace: float) -> None:
        """End the process (an attached one goes on) and close the connection."""
        await self.client.close()
        if self.child is not None:
            await self.child.stop(grace)
            shared_memory.remove(self._memory_prefix)
            if self._cleanup:
                await (await start(self._cleanup)).wait()


def refuse_vulnerable(version: str, host: str, *, allowed: bool) -> None:
    """Refuse to make a Triton with known holes reachable from other machines.

    Raises:
        ConfigError: it is older than 25.07 and `host` is not loopback.
    """
    if is_vulnerable(version) and not Address(host, 0).loopback and not allowed:
        raise ConfigError(
            f"Triton {version or 'of unknown version'} has remotely exploitable holes (CVE-2025-23319 and others) and "
            f"must not be registered at {host}: use 2.59 (25.07) or newer, a loopback address, "
            "or set allow_vulnerable_triton"
        )


def listen_host(advertise: str) -> str:
    """The address Triton listens on: loopback alone, unless others are told to come from elsewhere."""
    address = Address(advertise, 0)
    if not address.loopback:
        return "::" if ":" in advertise else "0.0.0.0"  # noqa: S104 the operator chose an address others reach
    return "127.0.0.1" if advertise == "localhost" else advertise


async def start_server(runtime: Runtime, config: SidecarConfig, generation: int) -> Server:
    """Start a Triton and wait until it answers.

    Raises:
        ConfigError: one of the chosen ports is in use.
        StartFailed: it ended, or did not answer within `load_timeout` seconds.
    """
    for _ in range(ATTEMPTS - 1):
        try:
            return await _start_once(runtime, config, generation)
        except StartFailed as error:
            # A port that was free has been taken in between. A chosen one is checked again, and named, by the next try.
            if "already in use" not in str(error):
                raise
            log.info("started once more", reason=str(error))
    return await _start_once(runtime, config, generation)


async def _start_once(runtime: Runtime, config: SidecarConfig, generation: int) -> Server:
    assert config.repository is not None
    host = listen_host(config.advertise)
    chosen = {"--http-port": config.http_port, "--grpc-port": config.grpc_port, "--metrics-port": config.metrics_port}
    for option, port in chosen.items():
        if port:
            check_free(Address(host, port), option)
    http, grpc_port, metrics = (port or free for port, free in zip(chosen.values(), free_ports(3), strict=True))
    secret = secrets.token_hex(16)
    prefix = shared_memory.prefix()
    traces = trace_flags(config.triton_traces) if config.triton_traces else []
    command = runtime.command(
        repository=config.repository,
        http_port=http,
        grpc_port=grpc_port,
        metrics_port=metrics,
        host=host,
        secret=secret,
        extra=(*shared_memory.options(prefix), *traces, *config.triton_options),
    )
    devices = {"CUDA_VISIBLE_DEVICES": ",".join(config.gpus)} if config.gpus else {}
    shared_memory.remove_orphans()
    child = await start(command, env=runtime.environment(**devices), name="Triton", log_path=config.log_path)
    own = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    client = TritonClient(own, grpc_port, secret=secret)
    life = Life(config.advertise, grpc_port, http, generation)
    server = Server(life, client, child, metrics_port=metrics, memory_prefix=prefix, cleanup=runtime.cleanup(grpc_port))
    try:
        await _until_live(client, child, config.load_timeout)
    except BaseException:
        await server.stop(1.0)
        raise
    log.info("Triton answers", pid=child.pid, grpc=f"{own}:{grpc_port}", generation=generation)
    return server


async def _until_live(client: TritonClient, child: Child, timeout: float) -> None:
    answers = asyncio.create_task(client.wait_live(timeout))
    ended = asyncio.create_task(child.wait())
    try:
        await asyncio.wait((answers, ended), return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            raise StartFailed(why_ended(child.returncode, child.head, child.tail))
        await answers
    except (TritonError, TimeoutError):
        raise StartFailed(f"Triton did not answer within {timeout:.0f} s: {child.why()}") from None
    finally:
        answers.cancel()
        ended.cancel()
        await asyncio.gather(answers, ended, return_exceptions=True)


async def attach(config: SidecarConfig, generation: int) -> Server:
    """Connect to a running Triton.

    Raises:
        ConfigError: nothing answers there.
    """
    address = parse_address(config.triton_url, "--triton-url")
    client = TritonClient(address.host, address.port)
    try:
        await client.wait_live(config.attach_timeout)
    except (TritonError, TimeoutError):
        await client.close()
        raise ConfigError(
            f"--triton-url {config.triton_url}: no Triton answers there (it is the gRPC port, 8001 by default)"
        ) from None
    host = config.advertise if not Address(config.advertise, 0).loopback else address.host
    life = Life(host, address.port, config.triton_http_port, generation)
    return Server(life, client, metrics_port=config.triton_metrics_port, metrics_host=address.host)
