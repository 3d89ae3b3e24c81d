"""Routers and edges that differ only in what they tell of their requests, in front of one tiny model."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

from bench.gateway.serve import Way, envoy_below
from bench.paths import HOST
from bench.processes import alive, free_port, inferloom, running, triton
from bench.wire import MODEL, check

__all__ = ["EDGE", "EDGE_TRACED", "ROUTER", "TRACED", "TWIN", "UNCOUNTED", "ways"]

ROUTER, TWIN, TRACED, UNCOUNTED = "router", "twin", "traced", "uncounted"
EDGE, EDGE_TRACED = "edge", "edge traced"
RATIO = "0.01"  # of the requests are traced


@contextlib.contextmanager
def ways() -> Iterator[dict[str, Way]]:
    """By name, each having answered rightly; all ended on leaving.

    Raises:
        ConfigError: there is no Triton runtime or no Envoy.
        RuntimeError: one does not answer, or wrongly.
    """
    with contextlib.ExitStack() as stack:
        collector = free_port()
        stack.enter_context(running("collector", [sys.executable, "-m", "bench.telemetry.collector", str(collector)]))
        plain = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        traced = {
            **plain,
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{HOST}:{collector}",
            "OTEL_TRACES_SAMPLER_ARG": RATIO,
        }
        server, triton_port = stack.enter_context(triton())
        check(f"{HOST}:{triton_port}", alive(server))
        registry = ["--registry", f"static:{MODEL}={HOST}:{triton_port}"]
        found: dict[str, Way] = {}
        uncounted = [sys.executable, "-m", "bench.telemetry.uncounted"]
        for name, command, environment in (
            (ROUTER, inferloom(), plain),
            (TWIN, inferloom(), plain),
            (TRACED, inferloom(), traced),
            (UNCOUNTED, uncounted, plain),
        ):
            port = free_port()
            at = ["--grpc", f"{HOST}:{port}", "--admin", f"{HOST}:0"]
            process = stack.enter_context(running(name, [*command, "router", *registry, *at], environment))
            check(f"{HOST}:{port}", alive(process))
            found[name] = Way(name, port, process.pid)
        back = ["--router", f"{HOST}:{found[ROUTER].port}"]
        for name, told in ((EDGE, []), (EDGE_TRACED, ["--otlp", f"{HOST}:{collector}"])):
            control, port, quiet = free_port(), free_port(), ["--admin", f"{HOST}:0"]
            argv = inferloom("control", *registry, "--grpc", f"{HOST}:{control}", *quiet, *back, *told)
            stack.enter_context(running("control", argv, traced if told else plain))
            argv = inferloom("edge", "--listen", f"{HOST}:{port}", "--control", f"{HOST}:{control}", *quiet)
            process = stack.enter_context(running(name, [*argv, "--concurrency", "1"], plain))
            check(f"{HOST}:{port}", alive(process))
            found[name] = Way(name, port, envoy_below(process.pid))
        yield found
