"""What a router tells of models and replicas, read off its pool."""

from __future__ import annotations

import pytest
from grpc import StatusCode

from inferloom.mesh.catalog import State
from inferloom.mesh.errors import ReplicaError
from inferloom.mesh.policy import Retrying, TrafficPolicy
from inferloom.mesh.router.pool_metrics import pool_metrics
from tests.unit.mesh.fakes import FakeMesh, after, replica

PATIENT = TrafficPolicy(retry=Retrying(attempts=3, backoff=0.5, jitter=0.0))


def samples(mesh: FakeMesh) -> dict[tuple[str, ...], float]:
    """By name and label values, in the labels' order."""
    families = pool_metrics(mesh.pool, mesh.admission)
    return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


async def test_attempts_are_counted_by_replica_and_code() -> None:
    mesh = FakeMesh([replica("a")], policy=TrafficPolicy(retry=Retrying(attempts=1)))
    await mesh.ask()
    mesh.channel("a").answer = after(mesh.clock, 0.2, ReplicaError(StatusCode.INTERNAL, "no"))
    with pytest.raises(ReplicaError):
        await mesh.ask()
    found = samples(mesh)
    count = "inferloom_attempt_duration_seconds_count"
    assert (found[count, "iris", "a", "OK"], found[count, "iris", "a", "INTERNAL"]) == (1, 1)
    assert found["inferloom_attempt_duration_seconds_sum", "iris", "a", "INTERNAL"] == pytest.approx(0.2)


async def test_a_layer_has_the_time_that_is_not_inside_of_it() -> None:
    """Two attempts of 0.2 s that fail, one of 0.1 s that answers; the second retry waits for half a second."""
    mesh = FakeMesh([replica("a"), replica("b"), replica("c")], policy=PATIENT)
    lost = ReplicaError(StatusCode.UNAVAILABLE, "Socket closed")
    left = [after(mesh.clock, 0.2, lost), after(mesh.clock, 0.2, lost), after(mesh.clock, 0.1)]
    for key in "abc":
        mesh.channel(key).answer = lambda sent: left.pop(0)(sent)
    await mesh.ask(seconds=5.0)
    found = samples(mesh)
    assert found["inferloom_layer_seconds_total", "iris", "attempt"] == pytest.approx(0.5)
    assert found["inferloom_layer_seconds_total", "iris", "retry"] == pytest.approx(0.5)
    assert found["inferloom_layer_seconds_total", "iris", "admission"] == 0
    assert found["inferloom_layer_seconds_total", "iris", "split"] == 0


async def test_the_labels_of_a_replica_go_with_it() -> None:
    mesh = FakeMesh([replica("a"), replica("b")])
    for _ in range(10):
        await mesh.ask()
    assert any("b" in key for key in samples(mesh))
    mesh.apply(replica("a"))
    found = samples(mesh)
    assert not any("b" in key for key in found)
    assert found["inferloom_replica_usable", "iris", "a"] == 1
    mesh.apply()
    assert not any("iris" in key for key in samples(mesh))


async def test_what_the_registry_says_of_a_replica_is_one_word() -> None:
    records = [replica("a"), replica("b", healthy=False), replica("c", state=State.DRAINING, healthy=False)]
    found = samples(FakeMesh([*records, replica("d", state=State.STARTING)]))
    said = {key[2]: key[3] for key in found if key[0] == "inferloom_replica_registered"}
    assert said == {"a": "serving", "b": "unhealthy", "c": "draining", "d": "starting"}


async def test_the_retry_budget_says_what_is_left_of_it() -> None:
    found = samples(FakeMesh([replica("a")]))
    assert found["inferloom_retry_budget_tokens", "iris"] == found["inferloom_retry_budget_most_tokens", "iris"] == 100
