"""The ring of remembered requests."""

from __future__ import annotations

from typing import Any

from inferloom.mesh.explain.recent import FAILED, MOST, Recent


def told(number: int, kind: str = "failed", **more: Any) -> dict[str, Any]:
    return {"request_id": f"r-{number}", "time": float(number), "kind": kind, **more}


def test_it_keeps_the_last_and_no_more_than_it_may() -> None:
    recent = Recent()
    for number in range(3 * MOST):
        recent.add(told(number, "failed" if number % 2 else "slow"))
    assert len(recent) == MOST
    assert recent.list(3)[0]["request_id"] == f"r-{3 * MOST - 1}"
    assert recent.find("r-0") is None


def test_slow_requests_never_push_out_all_that_failed() -> None:
    recent = Recent()
    recent.add(told(0))
    for number in range(1, 10 * MOST):
        recent.add(told(number, "slow"))
    assert recent.find("r-0") is not None
    assert len(recent) == MOST - FAILED + 1


def test_the_newest_of_an_id_is_found_also_by_its_trace() -> None:
    recent = Recent()
    recent.add(told(1, code="first", trace_id="abc"))
    recent.add(told(2) | {"request_id": "r-1", "code": "second"})
    found, traced = recent.find("r-1"), recent.find("abc")
    assert found is not None
    assert found["code"] == "second"
    assert traced is not None
    assert traced["code"] == "first"
    assert recent.find("") is None
