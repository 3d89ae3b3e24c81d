"""What Triton's /metrics say of load, at the cost of one small HTTP request."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["ModelLoad", "fetch", "fetch_text", "parse"]

LINE = re.compile(r'^(nv_inference_\w+)\{[^}]*?model="([^"]*)"[^}]*\}\s+(\S+)', re.MULTILINE)
FIELDS = {
    "nv_inference_pending_request_count": "pending",
    "nv_inference_request_success": "succeeded",
    "nv_inference_request_failure": "failed",
    "nv_inference_queue_duration_us": "queue_us",
    "nv_inference_compute_infer_duration_us": "compute_us",
}


@dataclass(slots=True)
class ModelLoad:
    """Of one model, all versions together; counters since Triton's start."""

    pending: float = 0.0  # requests that wait for their turn now
    succeeded: float = 0.0
    failed: float = 0.0
    queue_us: float = 0.0  # time spent waiting, microseconds
    compute_us: float = 0.0


def parse(text: str) -> dict[str, ModelLoad]:
    """Loads by model from Prometheus text."""
    loads: dict[str, ModelLoad] = {}
    for name, model, value in LINE.findall(text):
        if (field := FIELDS.get(name)) is not None:
            load = loads.setdefault(model, ModelLoad())
            setattr(load, field, getattr(load, field) + float(value))
    return loads


async def fetch(host: str, port: int, timeout: float = 1.0) -> Mapping[str, ModelLoad]:
    """Loads by model, now. Raises OSError: see `fetch_text`."""
    return parse(await fetch_text(host, port, timeout))


async def fetch_text(host: str, port: int, timeout: float = 1.0) -> str:
    """All of Triton's metrics, as it gives them.

    Raises:
        OSError: Triton's metrics port does not answer (TimeoutError: not within `timeout` seconds).
    """
    async with asyncio.timeout(timeout):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(f"GET /metrics HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
            answer = await reader.read(-1)
        finally:
            writer.close()
            await writer.wait_closed()
    return answer.decode(errors="replace").partition("\r\n\r\n")[2]
