"""How logs look: JSON for machines, text where somebody reads them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import structlog

from inferloom.cli import logs


@pytest.fixture(autouse=True)
def defaults() -> Iterator[None]:
    """structlog's settings are the process's."""
    yield
    structlog.reset_defaults()


def test_json_where_nobody_watches(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(logs.FORMAT, raising=False)
    logs.set_up("info")
    structlog.get_logger().error("raised", stack="File a.py\nValueError: no")
    assert json.loads(capsys.readouterr().err)["stack"] == "File a.py\nValueError: no"


def test_text_where_it_is_asked_for_with_a_stack_on_lines_of_its_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(logs.FORMAT, "text")
    logs.set_up("info")
    structlog.get_logger().error("raised", service="Read", stack="File a.py\nValueError: no")
    written = capsys.readouterr().err.splitlines()
    assert "raised" in written[0]
    assert "service=Read" in written[0]
    assert written[-1] == "ValueError: no"
