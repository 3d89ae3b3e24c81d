from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st

from inferloom.mesh.errors import ConfigError, InvalidInput
from inferloom.mesh.policy import Balancing, Breaking, Locality, Objective, Retrying, TrafficPolicy
from inferloom.mesh.policy_fields import FIELDS, Form, nested, read_fields
from inferloom.v1 import policy_pb2

WRONG: list[tuple[type, dict[str, Any], str]] = [
    (TrafficPolicy, {"timeout": 0}, "policy: timeout must be above 0 seconds"),
    (TrafficPolicy, {"timeout": float("nan")}, "timeout must be"),
    (TrafficPolicy, {"timeout": 700.0}, "longest must be at least the timeout"),
    (TrafficPolicy, {"attempt_timeout": 0.0}, "attempt_timeout must be above 0"),
    (TrafficPolicy, {"stream_idle": -1.0}, "stream_idle must be above 0"),
    (TrafficPolicy, {"concurrency": -1}, "concurrency must be 0 or more"),
    (TrafficPolicy, {"slow_start": -1.0}, "slow_start must be 0 or more"),
    (TrafficPolicy, {"affinity": "User"}, "affinity must be a key of gRPC metadata"),
    (TrafficPolicy, {"affinity": "authorization"}, "affinity must be a key of gRPC metadata"),
    (Retrying, {"attempts": 0}, "retry.attempts must be 1 to 10"),
    (Retrying, {"attempts": 11}, "retry.attempts must be 1 to 10"),
    (Retrying, {"budget_ratio": 1.5}, "retry.budget.ratio must be 0 to 1"),
    (Retrying, {"budget_floor": -1.0}, "retry.budget.floor"),
    (Retrying, {"budget_floor": 0.0}, "retry.budget.floor"),
    (Retrying, {"budget_window": 0.0}, "retry.budget.window"),
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


SECONDS = st.floats(1e-3, 1e6)
SHARES = st.floats(0, 0.999)


@st.composite
def policies(draw: st.DrawFn) -> TrafficPolicy:
    timeout, base = draw(SECONDS), draw(SECONDS)
    window = draw(SECONDS)
    return TrafficPolicy(
        timeout=timeout,
        longest=draw(st.floats(timeout, 1e7)),
        attempt_timeout=draw(st.none() | SECONDS),
        stream_idle=draw(SECONDS),
        idempotent=draw(st.booleans()),
        balancing=draw(st.sampled_from(Balancing)),
        affinity=draw(st.sampled_from(["", "user", "x-tenant", "key-bin"])),
        locality=draw(st.sampled_from(Locality)),
        concurrency=draw(st.integers(0, 1_000_000)),
        slow_start=draw(st.just(0.0) | SECONDS),
        retry=Retrying(
            attempts=draw(st.integers(1, 10)),
            budget_ratio=draw(st.floats(0, 1)),
            budget_floor=draw(st.floats(1.1, 1e6)) / window,
            budget_window=window,
            backoff=draw(st.just(0.0) | SECONDS),
            jitter=draw(SHARES),
        ),
        health=Breaking(
            consecutive=draw(st.integers(1, 1_000_000)),
            rate=draw(st.floats(0.001, 1)),
            rate_requests=draw(st.integers(1, 1_000_000)),
            window=draw(SECONDS),
            base=base,
            longest=draw(st.floats(base, 1e7)),
            jitter=draw(SHARES),
            forget=draw(st.just(0.0) | SECONDS),
        ),
    )


@given(policies())
@settings(max_examples=80, deadline=None)
def test_a_policy_survives_its_document_exactly(policy: TrafficPolicy) -> None:
    spec = policy.to_json()
    assert TrafficPolicy.from_json("iris", spec) == policy
    assert nested(read_fields(spec, "policy")) == spec


@given(policies())
@settings(max_examples=20, deadline=None)
def test_every_document_is_the_json_form_of_the_proto(policy: TrafficPolicy) -> None:
    message = json_format.ParseDict(policy.to_json(), policy_pb2.TrafficPolicy())
    again = json_format.MessageToDict(message, preserving_proto_field_name=True)
    assert TrafficPolicy.from_json("iris", again) == policy


def paths(descriptor: Any, prefix: str = "") -> set[str]:
    found: set[str] = set()
    for field in descriptor.fields:
        inner = paths(field.message_type, f"{prefix}{field.name}.") if field.message_type else {f"{prefix}{field.name}"}
        found |= inner
    return found


def test_the_proto_has_the_documents_fields_and_no_others() -> None:
    assert paths(policy_pb2.TrafficPolicy.DESCRIPTOR) == set(FIELDS)


def test_what_a_document_does_not_say_is_as_before() -> None:
    base = TrafficPolicy(idempotent=False, retry=Retrying(attempts=1))
    policy = TrafficPolicy.from_json("iris", {"timeout": "500ms", "retry": {"budget": {"ratio": 0.5}}}, base)
    assert policy == TrafficPolicy(timeout=0.5, idempotent=False, retry=Retrying(attempts=1, budget_ratio=0.5))


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"timeout": "20m"}, {"timeout": 1200.0, "longest": 1200.0}),
        ({"longest": "10s"}, {"timeout": 10.0, "longest": 10.0}),
        ({"health": {"base": "10m"}}, {"health": Breaking(base=600.0, longest=600.0)}),
        ({"health": {"longest": "1s"}}, {"health": Breaking(base=1.0, longest=1.0)}),
    ],
)
def test_of_two_bounds_the_one_that_is_not_named_gives_way(spec: dict[str, Any], expected: dict[str, Any]) -> None:
    assert TrafficPolicy.from_json("iris", spec) == TrafficPolicy(**expected)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"tiemout": "2s"}, "policy 'iris': unknown field 'tiemout'; did you mean 'timeout'?"),
        ({"attempts": 3}, "policy 'iris': unknown field 'attempts'; did you mean 'retry.attempts'?"),
        (
            {"retry": {"budget": {"rate": 1}}},
            "policy 'iris': unknown field 'retry.budget.rate'; did you mean 'retry.budget.ratio'?",
        ),
        ({"quota": 1}, "policy 'iris': unknown field 'quota'; there are affinity, attempt_timeout,"),
        ({"retry": 3}, "policy 'iris': retry must be a mapping, as {attempts: 2}"),
        ({"retry": {"attempts": 0}}, "policy 'iris': retry.attempts must be 1 to 10"),
        ({"retry": {"attempts": 2.5}}, "policy 'iris': retry.attempts must be a whole number, not '2.5'"),
        ({"retry": {"attempts": True}}, "policy 'iris': retry.attempts must be a whole number, not 'True'"),
        ({"retry": {"budget": {"floor": 0}}}, "policy 'iris': retry.budget.floor must be such that"),
        ({"retry": {"jitter": float("nan")}}, "policy 'iris': retry.jitter must be a number, not 'nan'"),
        ({"timeout": 2}, "policy 'iris': timeout must be a duration as text, as 500ms or 2s, not '2'"),
        ({"timeout": "soon"}, "policy 'iris': timeout: 'soon' is no duration"),
        ({"timeout": "0s"}, "policy 'iris': timeout must be above 0 seconds"),
        ({"attempt_timeout": "0.5ms"}, "policy 'iris': attempt_timeout must be 1ms or more, not '0.5ms'"),
        ({"timeout": "9999999999s"}, "policy 'iris': timeout: '9999999999s' is more than"),
        ({"timeout": "9s", "longest": "8s"}, "policy 'iris': longest must be at least the timeout"),
        ({"concurrency": 10**9}, "policy 'iris': concurrency must be 0 to 1000000"),
        ({"idempotent": "yes"}, "policy 'iris': idempotent must be true or false, not 'yes'"),
        ({"balancing": "least_requests"}, "did you mean 'least_request'?"),
        ({"objective": {"availability": 100}}, "objective.availability must be between 0 and 100"),
        ({"objective": {"latency": "0s"}}, "objective.latency must be above 0 seconds"),
        ({"objective": {"latencies": "1s"}}, "did you mean 'objective.latency'?"),
        ({"locality": 1}, "policy 'iris': locality must be text, not '1'"),
        ({"affinity": "user id"}, "policy 'iris': affinity must be a key of gRPC metadata"),
        ([], "policy 'iris': its spec must be a mapping, as {timeout: 2s}"),
    ],
)
def test_what_is_wrong_in_a_document_is_named_by_its_path(spec: Any, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        TrafficPolicy.from_json("iris", spec)
    assert message in str(caught.value)


def test_each_field_is_a_field_of_the_policy() -> None:
    policy = TrafficPolicy(attempt_timeout=1.0, objective=Objective(availability=99.9, latency=0.1))
    values = read_fields(policy.to_json(), "policy")
    assert set(values) == set(FIELDS)
    assert all(isinstance(values[path], bool) for path, field in FIELDS.items() if field.form is Form.SWITCH)
