"""Levels that change while a role runs, and the line of a failed request."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from grpc import StatusCode

from inferloom.mesh.clock import ManualClock
from inferloom.mesh.errors import ConfigError
from inferloom.mesh.telemetry import failures, logs
from inferloom.mesh.telemetry.failures import FailureLog, trace_of

TRACE = "0af7651916cd43dd8448eb211c80319c"
METADATA = (("traceparent", f"00-{TRACE}-b7ad6b7169203331-01"), ("x-request-id", "r1"))


@pytest.fixture(autouse=True)
def defaults(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """structlog's settings are the process's."""
    for name in (logs.FORMAT, "INFERLOOM_LOG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(failures, "log", structlog.get_logger())  # a logger keeps the stream that it wrote to first
    yield
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_level_holds_for_loggers_that_are_in_use_already(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("warning")
    log, other = structlog.get_logger("one"), logging.getLogger("inferloom.two")
    log.warning("first")
    log.debug("second")
    other.info("third")
    assert logs.level() == "warning"
    logs.change_level("DEBUG")
    log.debug("fourth")
    other.info("fifth")
    logs.change_level("error")
    log.warning("sixth")
    other.warning("seventh")
    assert [line["event"] for line in lines(capsys)] == ["first", "fourth", "fifth"]


def test_a_level_that_there_is_not_changes_nothing() -> None:
    logs.set_up("info")
    with pytest.raises(ConfigError, match="log level 'loud' is none of debug, info, warning, error"):
        logs.change_level("loud")
    assert logs.level() == "info"


def test_a_failed_request_is_one_line_with_why(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("warning")
    told = FailureLog(ManualClock()).told
    told(
        StatusCode.UNAVAILABLE, "it is gone", 0.25, model="iris", replica="a", method="/x/ModelInfer", metadata=METADATA
    )
    (line,) = lines(capsys)
    del line["timestamp"]
    assert line == {
        "event": "request failed",
        "level": "warning",
        "code": "UNAVAILABLE",
        "why": "it is gone",
        "seconds": 0.25,
        "model": "iris",
        "replica": "a",
        "method": "ModelInfer",
        "request_id": "r1",
        "trace_id": TRACE,
    }


def test_the_callers_own_mistake_is_told_at_level_info(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("warning")
    face = FailureLog(ManualClock())
    face.told(StatusCode.INVALID_ARGUMENT, "no input 'x'", 0.0, model="iris")
    assert lines(capsys) == []
    logs.change_level("info")
    face.told(StatusCode.INVALID_ARGUMENT, "no input 'x'", 0.0, model="iris")
    assert [line["level"] for line in lines(capsys)] == ["info"]


async def test_so_many_lines_a_second_and_then_how_many_were_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("warning")
    clock = ManualClock()
    face = FailureLog(clock, most=3)
    for _ in range(10):
        face.told(StatusCode.UNAVAILABLE, "no", 0.0, model="iris")
    assert len(lines(capsys)) == 3
    await clock.advance(1.5)
    face.told(StatusCode.UNAVAILABLE, "no", 0.0, model="iris")
    first, second = lines(capsys)
    assert (first["event"], first["left_out"], first["seconds"]) == ("requests failed", 7, 1.5)
    assert second["event"] == "request failed"


@pytest.mark.parametrize("value", ["", "00", f"00-{TRACE[:-1]}-b7ad6b7169203331-01", TRACE])
def test_what_is_no_trace_context_has_no_trace(value: str) -> None:
    assert trace_of((("traceparent", value),)) == ""
