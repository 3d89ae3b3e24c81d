"""`inferloom router`: the router as a process of its own."""

from __future__ import annotations

import gc
from pathlib import Path

from inferloom.cli.http import HttpPort, parse_http
from inferloom.cli.registry import open_registry
from inferloom.cli.signals import stop_requested
from inferloom.mesh.admin import Admin
from inferloom.mesh.errors import ConfigError
from inferloom.mesh.listen import parse_address
from inferloom.mesh.router.router import MIB, Router, RouterSettings
from inferloom.mesh.router.security import Tls, read_token
from inferloom.mesh.router.server import RouterServer, ServerSettings
from inferloom.mesh.splits.log import ExposureLog
from inferloom.mesh.telemetry.tracing import from_environment
from inferloom.mesh.xds.exposures import EdgeExposures

__all__ = ["run_router"]


async def run_router(
    grpc: str,
    admin: str,
    registry: str,
    *,
    max_message_mib: int = 64,
    max_in_flight_mib: int = 512,
    drain_timeout: float = 30.0,
    tls_cert: Path | None = None,
    tls_key: Path | None = None,
    tls_client_ca: Path | None = None,
    token_file: Path | None = None,
    write_token_file: Path | None = None,
    exposures: Path | None = None,
    http: str = "off",
    public: str = "",
    control: str | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM, then drain.

    Raises:
        ConfigError: an option is wrong or a port in use.
        RegistryUnavailable: the registry does not answer and no earlier snapshot is kept.
    """
    if (tls_cert is None) != (tls_key is None):
        raise ConfigError("--tls-cert and --tls-key belong together: give both or none")
    if tls_client_ca is not None and tls_cert is None:
        raise ConfigError("--tls-client-ca needs --tls-cert and --tls-key")
    tls = Tls(cert=tls_cert, key=tls_key, client_ca=tls_client_ca) if tls_cert and tls_key else None
    settings = ServerSettings(
        address=parse_address(grpc, "--grpc"),
        tls=tls,
        token=read_token(token_file) if token_file else None,
        write_token=read_token(write_token_file, "--write-token-file") if write_token_file else None,
    )
    web = parse_http(http)
    if web is not None and tls is not None:
        raise ConfigError("--http has no TLS: it cannot be given together with --tls-cert")
    outside = parse_address(public, "--public") if public else None
    tokens = [token for token in (settings.token, settings.write_token) if token] if settings.token else []
    stop = stop_requested()
    source = open_registry(registry, control=control)
    tracing = from_environment("inferloom-router")
    router = Router(
        source,
        settings=RouterSettings(max_message=max_message_mib * MIB, max_in_flight=max_in_flight_mib * MIB),
        tracing=tracing,
    )
    from inferloom.services.typed.faces import Faces
    from inferloom.services.typed.grpc_face import TypedFace

    faces = Faces(router)
    server = RouterServer(router, settings, [TypedFace(router, faces), EdgeExposures(router.splitting)])
    record = ExposureLog(exposures) if exposures is not None else None
    port = HttpPort(router, web, tokens=tokens, faces=faces, public=outside) if web is not None else None
    config = {"grpc": grpc, "registry": registry, "max_message_mib": max_message_mib, "drain_timeout": drain_timeout}
    starting = ["the registry has not answered yet"]
    face = Admin(
        "router",
        ready=lambda: starting[0] if starting else "",
        catalog=lambda: source.catalog,
        config=lambda: config,
        collect=router.metrics.collect,
    )
    try:
        if record is not None:
            await record.start()
            router.exposures.add(record)
        where = await face.start(parse_address(admin, "--admin"))
        await router.start()
        await faces.start()
        address = await server.start()
        answers = f" http={await port.start()}" if port is not None else ""
        starting.clear()
        # What is there now stays. Looking through it costs the collector 28 ms, once in some thousand requests.
        gc.collect()
        gc.freeze()
        print(f"ready grpc={address} admin={where}{answers}", flush=True)
        await stop.wait()
        starting.append("draining")
        if port is not None:
            await port.close()
        await server.drain(drain_timeout)
    finally:
        if port is not None:
            await port.close()
        await faces.close()
        await router.close()
        if record is not None:
            await record.close()
        await source.close()
        await face.close()
        tracing.close()
