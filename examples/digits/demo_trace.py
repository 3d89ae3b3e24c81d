"""The end of the demo: the trace of one request, and where Jaeger would show it."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from demo_mesh import DemoMesh

from inferloom.mesh.telemetry.tracing import configured_endpoint
from inferloom.mesh.telemetry.tree import tree

if TYPE_CHECKING:
    from inferloom.mesh.telemetry.receiver import Received

PIPELINE = "digits"
PATIENCE = 15.0  # seconds until every process has sent its spans
QUIET = 2.5  # seconds without another span of the trace after which it is whole

Say = Callable[[str], None]


@contextmanager
def traced() -> Iterator[Received | None]:
    """A receiver of traces that the mesh's processes send to, of requests that ask for it; None where there is one already,
    or where OpenTelemetry is not installed."""
    if configured_endpoint():
        yield None
        return
    try:
        from inferloom.mesh.telemetry.receiver import receiving
    except ImportError:
        yield None
        return
    with receiving() as received:
        mine = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": received.grpc,
            "INFERLOOM_TRITON_OTLP": received.http,
            "OTEL_TRACES_SAMPLER": "parentbased_always_off",
        }
        os.environ.update(mine)
        try:
            yield received
        finally:
            for name in mine:
                del os.environ[name]


async def show_trace(mesh: DemoMesh, image: bytes, received: Received | None, say: Say) -> None:
    """Ask the vote once more, and print its trace."""
    trace = secrets.token_hex(16)
    context = {"traceparent": f"00-{trace}-{secrets.token_hex(8)}-01"}
    await mesh.client.infer(PIPELINE, {"png": np.array([image], object)}, metadata=context)
    if received is None and not configured_endpoint():
        say("\nWith OpenTelemetry installed (pip install 'inferloom[tracing]') the demo ends with a request's trace.")
        return
    say(f"\nThe trace of one request to the pipeline '{PIPELINE}':")
    if received is not None:
        await settled(received, trace)
        for line in tree(received.of(trace)).splitlines():
            say(f"  {line}")
    say(f"In Jaeger: http://localhost:16686/trace/{trace} (docs/tracing.md says how to start it).")


async def settled(received: Received, trace: str) -> None:
    """Return when no more spans come."""
    loop = asyncio.get_running_loop()
    count, since, end = 0, loop.time(), loop.time() + PATIENCE
    while loop.time() < end and not (count and loop.time() - since > QUIET):
        if len(received.of(trace)) != count:
            count, since = len(received.of(trace)), loop.time()
        await asyncio.sleep(0.05)
