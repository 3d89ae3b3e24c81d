"""Command-line options of tritonserver, as every runtime uses them."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["RESTRICTED", "SECRET_HEADER", "flags", "is_vulnerable", "trace_flags", "version_tuple"]

# Calls that change the server, or reach into its machine: for its sidecar alone, which holds the secret.
RESTRICTED = "model-repository,shared-memory,trace,logging"
SECRET_HEADER = "triton-grpc-protocol-inferloom"  # noqa: S105 the name of a header
SAFE = (2, 59)  # 25.07; older ones have CVE-2025-23319, -23320, -23334 and their kin, and 2026-24207


def flags(
    *,
    repository: str,
    backend_directory: str | None,
    http_port: int,
    grpc_port: int,
    metrics_port: int,
    host: str,
    metrics_host: str = "127.0.0.1",
    secret: str = "",
    extra: Sequence[str] = (),
) -> list[str]:
    """Options of one server whose models are loaded and unloaded by its sidecar.

    Args:
        secret: what a caller must present for the calls of `RESTRICTED`; "": they are open.
        extra: further options, last, so that they win.
    """
    options = [
        f"--model-repository={repository}",
        "--model-control-mode=explicit",
        f"--http-address={host}",
        f"--http-port={http_port}",
        f"--grpc-address={host}",
        f"--grpc-port={grpc_port}",
        f"--metrics-address={metrics_host}",
        f"--metrics-port={metrics_port}",
        "--exit-timeout-secs=10",
        # Routers ping idle connections every 10 s; without these Triton answers with GOAWAY too_many_pings.
        "--grpc-keepalive-permit-without-calls=true",
        "--grpc-http2-min-recv-ping-interval-without-data=5000",
        "--grpc-http2-max-pings-without-data=0",
    ]
    if backend_directory:
        options.append(f"--backend-directory={backend_directory}")
    if secret:
        options.append(f"--grpc-restricted-protocol={RESTRICTED}:inferloom={secret}")
        options.append(f"--http-restricted-api={RESTRICTED}:inferloom={secret}")
    return [*options, *extra]


def trace_flags(receiver: str, service: str = "triton") -> list[str]:
    """Options with which Triton continues the traces of its callers, and begins none.

    Args:
        receiver: where it posts OTLP over HTTP, "http://HOST:4318/v1/traces".
    """
    settings = (
        "mode=opentelemetry",
        "level=TIMESTAMPS",
        "rate=0",  # of requests without a traceparent; with one each is traced, whatever its flags say
        f"opentelemetry,url={receiver}",
        f"opentelemetry,resource=service.name={service}",
        "opentelemetry,bsp_schedule_delay=1000",  # milliseconds
    )
    return [f"--trace-config={setting}" for setting in settings]


def version_tuple(version: str) -> tuple[int, ...]:
    """ "2.51.0" as numbers; what is no number ends it."""
    numbers: list[int] = []
    for part in version.split("."):
        digits = "".join(character for character in part if character.isdigit())
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers)


def is_vulnerable(version: str) -> bool:
    """Whether this Triton has holes that can be exploited from the network; an unknown version counts as such."""
    return version_tuple(version) < SAFE
