from __future__ import annotations

import asyncio
from typing import Any

from inferloom.mesh.catalog import Model, Repeat
from inferloom.mesh.clock import ManualClock
from inferloom.mesh.policies import Policies
from inferloom.mesh.policy import KIND, Retrying, TrafficPolicy
from inferloom.mesh.registry.base import Document
from inferloom.mesh.registry.memory import MemoryRegistry
from tests.unit.mesh.fakes import replica


def model(repeat: Repeat = Repeat.ANY) -> Model:
    return Model("iris", (replica("a", repeat=repeat),))


def documents(spec: Any, version: int = 1, name: str = "iris") -> dict[tuple[str, str], Document]:
    return {(KIND, name): Document(KIND, name, spec, version, "me", 0.0)}


def of(spec: Any, repeat: Repeat = Repeat.ANY) -> TrafficPolicy:
    policies = Policies()
    policies.apply(documents(spec))
    return policies.of(model(repeat))


def test_without_a_document_a_model_has_what_its_replicas_say() -> None:
    policies = Policies()
    for repeat in Repeat:
        assert policies.of(model(repeat)) is TrafficPolicy.of(model(repeat))


def test_a_document_is_laid_over_what_the_replicas_say() -> None:
    assert of({"timeout": "2s"}, Repeat.UNBEGUN) == TrafficPolicy(timeout=2.0, idempotent=False)
    assert of({"idempotent": True}, Repeat.UNBEGUN) == TrafficPolicy()
    assert of({"idempotent": False}) == TrafficPolicy(idempotent=False)


def test_what_must_never_be_repeated_is_so_only_where_the_document_says_that_it_may() -> None:
    never = TrafficPolicy(idempotent=False, retry=Retrying(attempts=1))
    assert of({"retry": {"attempts": 5}}, Repeat.NEVER) == never
    assert of({"idempotent": False, "retry": {"attempts": 5}}, Repeat.NEVER) == never
    assert of({"idempotent": True}, Repeat.NEVER) == TrafficPolicy()
    assert of({"idempotent": True, "retry": {"attempts": 5}}, Repeat.NEVER).retry.attempts == 5


def test_a_policy_is_the_same_object_until_its_document_or_its_replicas_change() -> None:
    policies = Policies()
    here = documents({"timeout": "2s"})
    policies.apply(here)
    first = policies.of(model())
    policies.apply({**here, **documents({"timeout": "9s"}, name="other")})
    assert policies.of(Model("iris", (replica("a"), replica("b")))) is first
    assert policies.of(model(Repeat.UNBEGUN)) is not first
    policies.apply(documents({"timeout": "3s"}, 2))
    assert policies.of(model()).timeout == 3.0


def test_a_bad_document_keeps_the_last_good_one_and_is_told_until_a_good_one_comes() -> None:
    policies = Policies()
    told: list[frozenset[str]] = []
    policies.on_change(told.append)
    policies.apply(documents({"timeout": "2s"}))
    policies.apply(documents({"timeout": "never"}, 2))
    assert policies.of(model()).timeout == 2.0
    assert policies.problems == {
        "iris": "version 2: policy 'iris': timeout: 'never' is no duration; write a number and ms, s, m or h: 50ms, 2s, 1m"
    }
    policies.apply(documents({"timeout": "4s"}, 3))
    assert (policies.problems, policies.of(model()).timeout) == ({}, 4.0)
    policies.apply(documents({"attempts": 1}, 4))
    policies.apply({})
    assert (policies.problems, policies.of(model())) == ({}, TrafficPolicy())
    assert told == [frozenset({"iris"})] * 3


def test_documents_of_other_kinds_are_not_looked_at() -> None:
    policies = Policies()
    policies.apply({("split", "iris"): Document("split", "iris", {"arms": []}, 1, "me", 0.0)})
    assert (policies.written, policies.problems) == ({}, {})


async def test_documents_are_followed() -> None:
    registry, policies = MemoryRegistry(), Policies(clock=ManualClock())
    await registry.documents.put(KIND, "iris", {"timeout": "2s"})
    changed: asyncio.Queue[frozenset[str]] = asyncio.Queue()
    policies.on_change(changed.put_nowait)
    await policies.start(registry.documents)
    try:
        assert policies.of(model()).timeout == 2.0
        assert repr(policies) == "<Policies iris>"
        await registry.documents.put(KIND, "iris", None)
        assert [await changed.get(), await changed.get()] == [frozenset({"iris"})] * 2
        assert policies.of(model()) == TrafficPolicy()
    finally:
        await policies.close()
