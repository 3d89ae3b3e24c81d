from __future__ import annotations

from typing import Any

import pytest

from inferloom.mesh.errors import ConfigError
from inferloom.mesh.policy import Breaking, Retrying, TrafficPolicy

WRONG: list[tuple[type, dict[str, Any], str]] = [
    (TrafficPolicy, {"timeout": 0}, "policy: timeout must be above 0 seconds"),
    (TrafficPolicy, {"timeout": float("nan")}, "timeout must be"),
    (TrafficPolicy, {"timeout": 700.0}, "longest must be at least the timeout"),
    (TrafficPolicy, {"attempt_timeout": 0.0}, "attempt_timeout must be above 0"),
    (TrafficPolicy, {"stream_idle": -1.0}, "stream_idle must be above 0"),
    (Retrying, {"attempts": 0}, "retry.attempts must be 1 to 10"),
    (Retrying, {"attempts": 11}, "retry.attempts must be 1 to 10"),
    (Retrying, {"budget_ratio": 1.5}, "retry.budget_ratio must be 0 to 1"),
    (Retrying, {"budget_floor": -1.0}, "retry.budget_floor"),
    (Retrying, {"budget_floor": 0.0}, "retry.budget_floor"),
    (Retrying, {"budget_window": 0.0}, "retry.budget_window"),
    (Retrying, {"backoff": -0.1}, "retry.backoff must be 0 or more"),
    (Retrying, {"jitter": 1.0}, "retry.jitter must be 0 up to 1"),
    (Breaking, {"consecutive": 0}, "health.consecutive must be 1 or more"),
    (Breaking, {"rate": 0.0}, "health.rate must be above 0"),
    (Breaking, {"rate_requests": 0}, "health.rate_requests must be 1 or more"),
    (Breaking, {"window": 0.0}, "health.window must be above 0"),
    (Breaking, {"base": 0.0}, "health.base must be above 0"),
    (Breaking, {"base": 400.0}, "health.longest must be at least health.base"),
    (Breaking, {"jitter": 1.0}, "health.jitter must be 0 up to 1"),
    (Breaking, {"forget": -1.0}, "health.forget must be 0 or more"),
]


@pytest.mark.parametrize(("kind", "settings", "message"), WRONG, ids=[f"{k.__name__} {s}" for k, s, _ in WRONG])
def test_a_wrong_setting_is_named(kind: type, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        kind(**settings)


def test_the_defaults_are_a_valid_policy() -> None:
    policy = TrafficPolicy()
    assert policy.retry.attempts == 3
    assert policy.health.consecutive == 5
    assert "timeout" in TrafficPolicy.names()
