"""Traces read back from Jaeger's query API (`GET /api/traces/ID`, what its own pages use)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import aiohttp

from inferloom.mesh.telemetry.tree import KINDS, SpanRecord

__all__ = ["records_of", "trace_of"]

JAEGERS_OWN = ("span.kind", "otel.status_code", "otel.status_description", "error", "otel.scope.name")


async def trace_of(jaeger: str, trace: str) -> list[SpanRecord]:
    """Its spans so far; none where Jaeger has not seen it yet.

    Args:
        jaeger: "http://HOST:16686".
    """
    async with aiohttp.ClientSession() as session, session.get(f"{jaeger}/api/traces/{trace}") as answer:
        if answer.status == 404:
            return []
        answer.raise_for_status()
        return records_of(await answer.json())


def records_of(answer: Mapping[str, Any]) -> list[SpanRecord]:
    """The spans of an answer of the API."""
    return [_record(span, each["processes"]) for each in answer["data"] for span in each["spans"]]


def _record(span: Mapping[str, Any], processes: Mapping[str, Any]) -> SpanRecord:
    tags = {tag["key"]: tag["value"] for tag in span["tags"]}
    above = [each for each in span["references"] if each["refType"] == "CHILD_OF"]
    links = [each for each in span["references"] if each["refType"] != "CHILD_OF"]
    began = span["startTime"] * 1000
    return SpanRecord(
        processes[span["processID"]]["serviceName"],
        span["operationName"],
        span["traceID"],
        span["spanID"],
        above[0]["spanID"] if above else "",
        KINDS.index(tags.get("span.kind", "internal")),
        {"OK": 1, "ERROR": 2}.get(tags.get("otel.status_code", ""), 0),
        {key: value for key, value in tags.items() if key not in JAEGERS_OWN},
        tuple((each["traceID"], each["spanID"]) for each in links),
        tags.get("otel.status_description", ""),
        began,
        began + span["duration"] * 1000,
    )
