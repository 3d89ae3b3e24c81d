"""Tritons, routers and hosts whose traces come here."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from inferloom.mesh.telemetry.tracing import Tracing, from_environment
from inferloom.sidecar.flags import trace_flags
from tests.support.otlp import Span, Traces, traces_received
from tests.support.router import Server, running_servers

__all__ = ["RPC", "STREAM", "Asked", "Traced", "asked", "traced_servers", "tracing_as"]

RPC = "inference.GRPCInferenceService/ModelInfer"
STREAM = "inference.GRPCInferenceService/ModelStreamInfer"
MODELS = ("echo", "versioned", "slow", "tokens")


class Traced(NamedTuple):
    """Where traces arrive, and two Tritons that send theirs there."""

    traces: Traces
    one: Server
    two: Server

    @property
    def servers(self) -> dict[str, Server]:
        return {"one": self.one, "two": self.two}


@contextmanager
def traced_servers(folder: Path) -> Iterator[Traced]:
    with traces_received() as traces:
        extra = [flag.replace("delay=1000", "delay=50") for flag in trace_flags(traces.http)]
        with running_servers(folder, 2, MODELS, extra) as (one, two):
            yield Traced(traces, one, two)


@contextmanager
def tracing_as(role: str, traces: Traces, *, ratio: float = 1.0) -> Iterator[Tracing]:
    """Tracing of one role of the mesh, configured by the environment as its process would be."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", traces.grpc)
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        patch.setenv("OTEL_TRACES_SAMPLER_ARG", str(ratio))
        patch.delenv("OTEL_SDK_DISABLED", raising=False)
        tracing = from_environment(f"inferloom-{role}")
    try:
        yield tracing
    finally:
        tracing.close()


class Asked(NamedTuple):
    """A caller's own span."""

    trace: str
    span: str
    metadata: tuple[tuple[str, str], ...]

    def top(self, spans: list[Span]) -> Span:
        """The span that continues it; there is one."""
        (found,) = [span for span in spans if span.parent == self.span]
        return found


def asked(*, sampled: bool = True, **more: str) -> Asked:
    """A new trace, as a caller's SDK would begin it."""
    trace, span = secrets.token_hex(16), secrets.token_hex(8)
    others = [(key.replace("_", "-"), value) for key, value in more.items()]
    return Asked(trace, span, (("traceparent", f"00-{trace}-{span}-{int(sampled):02x}"), *others))
