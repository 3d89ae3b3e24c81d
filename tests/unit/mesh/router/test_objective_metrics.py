from __future__ import annotations

from inferloom.mesh.clock import ManualClock
from inferloom.mesh.policies import Policies
from inferloom.mesh.registry.base import Document
from inferloom.mesh.registry.memory import MemoryRegistry
from inferloom.mesh.router.objective_metrics import objective_metrics
from inferloom.mesh.router.router import Router


def document(name: str, version: int = 1, time: float = 0.0, **objective: object) -> Document:
    return Document("policy", name, {"timeout": "2s", "objective": objective}, version, "", time)


def told(policies: Policies) -> dict[tuple[str, str], float]:
    return {(s.name, s.labels["model"]): s.value for family in objective_metrics(policies) for s in family.samples}


def test_objectives_are_parts_of_one_and_seconds_and_only_where_a_document_names_them() -> None:
    policies = Policies()
    one, two = document("iris", availability=99.9, latency="100ms"), document("wide", latency="2s", within=90)
    three = Document("policy", "plain", {"timeout": "2s"}, 1, "", 0.0)
    policies.apply({each.key: each for each in (one, two, three)})
    assert told(policies) == {
        ("inferloom_objective_availability_ratio", "iris"): 0.999,
        ("inferloom_objective_latency_seconds", "iris"): 0.1,
        ("inferloom_objective_latency_ratio", "iris"): 0.99,
        ("inferloom_objective_latency_seconds", "wide"): 2.0,
        ("inferloom_objective_latency_ratio", "wide"): 0.9,
    }


async def test_the_router_counts_by_the_objective_that_holds_now() -> None:
    router = Router(MemoryRegistry())
    first, second = document("iris", latency="100ms"), document("iris", 2, latency="1s")
    router.policies.apply({first.key: first})
    assert router.metrics.slow_after == {"iris": 0.1}
    router.policies.apply({second.key: second})
    assert router.metrics.slow_after == {"iris": 1.0}
    router.policies.apply({})
    assert router.metrics.slow_after == {}


async def test_the_lag_of_a_document_is_from_its_writing_until_it_holds_and_not_told_of_those_that_were_there() -> None:
    clock = ManualClock()
    registry = MemoryRegistry()
    policies = Policies(clock=clock)
    await policies.start(registry.documents)
    assert policies.lag.count == 0
    late = document("iris", time=clock.wall() - 0.3, availability=99)
    policies.apply({late.key: late})
    ahead = document("iris", 2, time=clock.wall() + 5, availability=98)
    policies.apply({ahead.key: ahead})
    assert policies.lag.count == 2
    assert abs(policies.lag.seconds - 0.3) < 1e-6
    await policies.close()
