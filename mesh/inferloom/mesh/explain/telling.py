"""A story as what is told of it: an `inferloom.v1.Explanation` as JSON has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from grpc import StatusCode

from inferloom.mesh.explain.line import heard
from inferloom.mesh.explain.recent import Told
from inferloom.mesh.explain.story import LEFT, Step, Story

__all__ = ["tell"]

USUAL = ("/ModelInfer", "/Call")
LONGEST = 300  # characters of a text
STEPS = 64  # steps and attempts that are told
OVER = "late: the ensemble went on without it"


def tell(story: Story, ended: float) -> Told:
    """What the story itself knows: attempts, times and steps, in milliseconds."""
    told: Told = {"ms": _ms(ended - story.began)}
    if not story.hosted:
        told |= _routed(story, ended)
    if story.attempts:
        told["attempts"] = _attempts(story, story.began)
    if story.passed_over:
        told["passed_over"] = [{"replica": name, "why": why[:LONGEST]} for name, why in story.passed_over]
    if steps := _steps(story.steps, story.notes, story.began):
        told["steps"] = steps
    if story.notes:
        told["notes"] = {key: note[:LONGEST] for key, note in story.notes.items()}
    if (inside := heard(story.inside)) is not None:
        told["inside"] = inside
    return told


def _routed(story: Story, ended: float) -> Told:
    """Where a router sent it, and what that took."""
    told: Told = {}
    if story.arm:
        told |= {"split": story.split, "arm": story.arm}
    if story.attempts:
        replica = story.attempts[-1][0].replica
        told |= {"version": story.attempts[-1][3] or replica.default_version, "replica": replica.id}
    if story.entered:
        told["layers"] = _layers(story, ended)
    return told


def _layers(story: Story, ended: float) -> dict[str, float]:
    attempts = sum(attempt[7] - attempt[6] for attempt in story.attempts)
    admitted = story.admitted or story.began
    return {
        "admission": _ms(admitted - story.began),
        "split": _ms(story.entered - admitted),
        "retry": _ms(max(0.0, ended - story.entered - attempts)),
        "attempt": _ms(attempts),
    }


def _attempts(story: Story, zero: float) -> list[dict[str, Any]]:
    found = []
    for endpoint, method, model, _, code, why, began, ended in story.attempts[:STEPS]:
        each = {"model": model, "replica": endpoint.replica.id, "address": endpoint.replica.address}
        each |= {"code": _code(code), "after_ms": _ms(began - zero), "ms": _ms(ended - began)}
        if not method.endswith(USUAL):
            each["method"] = method.rpartition("/")[2]
        if code is None or why:
            each["why"] = (why or LEFT)[:LONGEST]
        found.append(each)
    return found


def _steps(steps: Sequence[Step], notes: Mapping[str, str], zero: float) -> list[dict[str, Any]]:
    late = {
        f"{key.removesuffix('.late')}.{m}" for key, n in notes.items() if key.endswith(".late") for m in n.split(",")
    }
    found = [_step(step, late, zero) for step in sorted(steps, key=lambda step: step.began)[:STEPS]]
    there = {each["step"] for each in found}
    return found + [{"step": name, "code": "CANCELLED", "why": OVER} for name in sorted(late - there)]


def _step(step: Step, late: set[str], zero: float) -> dict[str, Any]:
    told: dict[str, Any] = {"step": step.name, "calls": step.calls}
    told |= {"after_ms": _ms(step.began - zero), "ms": _ms(step.ended - step.began)}
    if step.rows:
        told |= {"rows": step.rows, "requests": step.requests}
    told["code"] = step.code
    if step.code != "OK":
        told["why"] = OVER if step.name in late else step.why[:LONGEST] or LEFT
    if step.story is not None and step.story.attempts:
        told["attempts"] = _attempts(step.story, zero)
        if (inside := heard(step.story.inside)) is not None:
            told["inside"] = inside
    return told


def _code(code: StatusCode | None) -> str:
    return "CANCELLED" if code is None else code.name


def _ms(seconds: float) -> float:
    return round(1e3 * seconds, 3)
