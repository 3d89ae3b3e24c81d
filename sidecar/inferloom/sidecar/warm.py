"""The first request of a model version: what a caller would otherwise wait for, and a known answer where there is one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog

from inferloom.mesh.errors import InvalidInput
from inferloom.sidecar.infer import answer_values, from_warmup, synthesise
from inferloom.sidecar.modelfile.warmup import load_warmup
from inferloom.sidecar.triton import TritonClient, TritonError, one_line

__all__ = ["first_request"]

log = structlog.get_logger(__name__)


async def first_request(
    client: TritonClient, model: str, version: str, timeout: float, repository: Path | None = None
) -> str:
    """Send it. Returns why the version must not serve, "" where it may.

    With a warmup.json in the version's folder, its request has to succeed and give its answer. Without one, a request
    is made from the metadata; a model may refuse that one (not every model has a use for zeros).

    Raises:
        TritonError: Triton is not there any more.
    """
    try:
        warmup = await asyncio.to_thread(load_warmup, repository / model / version) if repository else None
        if warmup is not None:
            answer = await client.infer(from_warmup(warmup, model, version), timeout)
            mismatch = warmup.mismatch(answer_values(answer))
            return f"wrong answer to its warm-up: {mismatch}" if mismatch else ""
    except (InvalidInput, ValueError) as error:
        return str(error)
    except TritonError as error:
        await _require_live(client, error)
        return f"its warm-up failed: {one_line(error.text)}"
    try:
        request = synthesise(await client.metadata(model, version), version)
        if request is not None:
            await client.infer(request, timeout)
    except TritonError as error:
        await _require_live(client, error)
        log.info("refuses the first request made for it", model=model, version=version, reason=one_line(error.text))
    return ""


async def _require_live(client: TritonClient, error: TritonError) -> None:
    """Raise `error` where it is the server that is gone, rather than the model that refuses."""
    if error.unreachable:
        try:
            await client.live(1.0)
        except TritonError:
            raise error from None
