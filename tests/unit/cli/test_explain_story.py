"""Requests told for people: the story, the table, and what may help."""

from __future__ import annotations

import io
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from rich.console import Console

from inferloom.cli.explain_cures import cures
from inferloom.cli.explain_story import story
from inferloom.cli.explain_table import few_words, table_of_recent
from inferloom.v1 import explain_pb2 as pb

FIRST = {"model": "iris", "replica": "a", "address": "h:1", "code": "UNAVAILABLE", "why": "gone", "ms": 3}
SECOND = {"model": "iris", "replica": "b", "address": "h:2", "code": "OK", "after_ms": 5, "ms": 7}
RETRIED = {
    "request_id": "r-1",
    "model": "iris",
    "version": "2",
    "method": "ModelInfer",
    "code": "OK",
    "kind": "slow",
    "ms": 12,
    "slow_over_ms": 10,
    "process": "router",
    "replica": "b",
    "split": "iris",
    "arm": "new",
    "attempts": [FIRST, SECOND],
    "passed_over": [{"replica": "c", "why": "open (5 failures in a row, 3 s left)"}],
    "layers": {"admission": 0.01, "split": 0.02, "retry": 2, "attempt": 10},
}
STEPS = [
    {"step": "votes", "calls": "batch", "after_ms": 0, "ms": 40, "code": "OK"},
    {"step": "votes.svm", "calls": "model 'svm'", "ms": 8, "code": "OK", "rows": 9, "requests": 3},
    {"step": "votes.forest", "calls": "model 'forest'", "ms": 50, "code": "CANCELLED", "why": "late: it went on"},
]
PIPELINE = {
    **RETRIED,
    "model": "digits",
    "attempts": [{**SECOND, "ms": 110, "after_ms": 0}],
    "ms": 110,
    "layers": {"attempt": 110},
    "inside": {"model": "digits", "process": "host-1", "code": "OK", "ms": 100, "steps": STEPS},
}


def explanation(spec: dict[str, Any], **changes: Any) -> pb.Explanation:
    return ParseDict({**spec, **changes}, pb.Explanation())


def test_of_an_edge_only_what_it_knows_is_told() -> None:
    tried = {"model": "iris", "replica": "a or b", "why": "Envoy tried again"}
    unsent = {"model": "iris", "replica": "b", "address": "h:2", "code": "UNAVAILABLE", "why": "no connection"}
    changes = {"code": "UNAVAILABLE", "kind": "failed", "layers": {}, "passed_over": [], "process": "edge e"}
    lines = [line.strip() for line in story(explanation(RETRIED, attempts=[tried, unsent], **changes))]
    assert "attempt 1 at a or b: Envoy tried again" in lines
    assert "attempt 2 at b (h:2): UNAVAILABLE: no connection" in lines
    assert "where the time went:" not in lines
    times = {"before": 1, "replica": 9, "after": 2}
    lines = [line.strip() for line in story(explanation(RETRIED, layers=times, process="edge e"))]
    assert "9.00 ms  the last attempt, until the answer's first byte" in lines


def test_a_retried_request_is_told_attempt_by_attempt() -> None:
    lines = [line.strip() for line in story(explanation(RETRIED))]
    assert lines[0] == "r-1: iris version 2 (ModelInfer), OK after 12.0 ms"
    assert "split iris: arm new" in lines
    assert "+     0.0 ms  attempt 1 at a (h:1): UNAVAILABLE after 3.0 ms: gone" in lines
    assert "+     5.0 ms  attempt 2 at b (h:2): OK after 7.0 ms" in lines
    assert "passed over c: open (5 failures in a row, 3 s left)" in lines
    assert "2.00 ms  choosing replicas, and waiting before attempts" in lines
    assert "-> it was tried again elsewhere: look at a" in lines


def test_a_pipeline_is_told_step_by_step_with_its_batches_and_who_was_late() -> None:
    text = "\n".join(story(explanation(PIPELINE)))
    assert "inside the pipeline digits, on host-1: OK, 100.0 ms" in text
    assert "votes: waited 40.0 ms for its turn in a batch" in text
    assert "votes.svm (model 'svm'): OK after 8.0 ms, in a batch of 9 rows of 3 requests" in text
    assert "votes.forest (model 'forest'): CANCELLED after 50.0 ms: late: it went on" in text
    assert "-> votes.forest was late: more replicas for it, a longer `wait` of votes" in text
    assert "-> votes waited for its turn" in text


def test_calls_inside_a_service_are_no_attempts() -> None:
    inside = {
        "model": "shop",
        "process": "host-1",
        "code": "OK",
        "ms": 9,
        "attempts": [{**SECOND, "method": "ModelConfig"}],
    }
    text = "\n".join(story(explanation(RETRIED, inside=inside)))
    assert "inside the service shop, on host-1" in text
    assert "calls iris at b (h:2) (ModelConfig): OK after 7.0 ms" in text


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"code": "UNAVAILABLE", "attempts": []}, "`inferloom models` says why each is out"),
        ({"code": "DEADLINE_EXCEEDED"}, "`timeout` in the policy of iris"),
        ({"code": "RESOURCE_EXHAUSTED"}, "turned it away for load"),
        ({"code": "CANCELLED"}, "its caller waited 12 ms"),
        ({"code": "NOT_FOUND"}, "lists the names that are served"),
        ({"code": "INVALID_ARGUMENT"}, "`inferloom infer iris` shows a good one"),
        ({"code": "INTERNAL"}, "the log of b has its stack"),
        ({"layers": {"retry": 9}}, "`retry.backoff` in the policy of iris"),
        ({"attempts": [SECOND], "ms": 8}, "the replica b itself took the time"),
        ({}, "fewer replicas carry the load: c"),
    ],
)
def test_what_can_be_seen_has_a_cure(changes: dict[str, Any], expected: str) -> None:
    assert any(expected in cure for cure in cures(explanation(RETRIED, **changes)))


def test_a_request_that_was_well_has_none() -> None:
    assert cures(explanation({"model": "iris", "code": "OK", "kind": "asked", "ms": 8, "attempts": [SECOND]})) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"message": "shape\n[3]"}, "shape [3]"),
        ({}, "1 of 2 attempts failed: gone"),
        ({"attempts": [SECOND]}, "b took 7.0 ms"),
        ({"steps": STEPS}, "late votes.forest; 1 of 2 attempts failed: gone"),
        ({"message": "x" * 200}, "x" * 87 + "..."),
    ],
)
def test_a_few_words_say_what_it_comes_down_to(changes: dict[str, Any], expected: str) -> None:
    assert few_words(explanation(RETRIED, **changes)) == expected


def test_the_table_shows_what_callers_wrote_as_they_wrote_it() -> None:
    answer = pb.ListRecentResponse(requests=[explanation(RETRIED, request_id="[red]r")], unanswered=["h:9"])
    written = io.StringIO()
    Console(width=160, file=written).print(table_of_recent(answer))
    text = written.getvalue()
    assert "[red]r" in text
    assert "no answer from h:9" in text


def test_an_empty_table_says_so() -> None:
    assert "no request has failed or was slow so far" in str(table_of_recent(pb.ListRecentResponse()).caption)
