from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

import pytest

from inferloom.mesh.balance.load import ReplicaLoad
from inferloom.mesh.balance.p2c import PowerOfTwoChoices
from inferloom.mesh.call import Call, Verdict
from inferloom.mesh.catalog import Replica

CALL = Call("iris", "", "/m", b"", (), 1.0)


@dataclass
class Candidate:
    replica: Replica
    load: ReplicaLoad = field(default_factory=lambda: ReplicaLoad(float("-inf")))


def candidates(*seconds: float, weights: tuple[float, ...] = ()) -> list[Candidate]:
    found = []
    for number, value in enumerate(seconds):
        weight = weights[number] if weights else 1.0
        candidate = Candidate(Replica("iris", str(number), "h", 1, weight=weight))
        candidate.load.begin()
        candidate.load.done(Verdict.SUCCESS, value, 0.0)
        found.append(candidate)
    return found


def picks(among: list[Candidate], count: int = 20_000, seed: int = 3) -> Counter[str]:
    """How often each is picked where nothing is in flight."""
    picker = PowerOfTwoChoices(random.Random(seed))
    return Counter(picker.pick(among, CALL, 0.0).replica.id for _ in range(count))


def test_a_lone_candidate_is_picked_without_a_draw() -> None:
    rng = random.Random(1)
    state = rng.getstate()
    (only,) = candidates(0.1)
    assert PowerOfTwoChoices(rng).pick([only], CALL, 0.0) is only
    assert rng.getstate() == state


def test_equal_replicas_share_equally() -> None:
    counts = picks(candidates(*[0.1] * 5))
    assert all(abs(count - 4_000) < 200 for count in counts.values()), counts


def test_the_dearest_of_all_is_never_picked_and_the_cheapest_wins_each_of_its_draws() -> None:
    counts = picks(candidates(0.1, 0.2, 0.3, 5.0))
    assert "3" not in counts
    assert abs(counts["0"] - 10_000) < 300  # it is drawn in half of the pairs of four


def test_of_two_the_cheaper_one_is_always_picked() -> None:
    assert picks(candidates(0.1, 0.2), count=1000) == {"0": 1000}


@pytest.mark.parametrize("count", [2, 3, 8])
def test_the_two_that_are_drawn_are_different(count: int) -> None:
    among = candidates(*[0.1] * (count - 1), 5.0)
    assert str(count - 1) not in picks(among, count=5_000)


def test_with_requests_in_flight_shares_follow_the_weights() -> None:
    among = candidates(0.1, 0.1, weights=(1.0, 3.0))
    picker = PowerOfTwoChoices(random.Random(5))
    counts: Counter[str] = Counter()
    flying: list[Candidate] = []
    for _ in range(8_000):
        chosen = picker.pick(among, CALL, 0.0)
        chosen.load.begin()
        flying.append(chosen)
        counts[chosen.replica.id] += 1
        if len(flying) == 40:
            for one in flying[:1]:
                one.load.done(Verdict.SUCCESS, 0.1, 0.0)
            del flying[:1]
    assert 2.6 < counts["1"] / counts["0"] < 3.4


def test_an_unmeasured_replica_gets_one_request_and_no_more_until_it_answers() -> None:
    among = [*candidates(0.1, 0.1), Candidate(Replica("iris", "new", "h", 1))]
    picker = PowerOfTwoChoices(random.Random(7))
    for _ in range(200):
        chosen = picker.pick(among, CALL, 0.0)
        if chosen.replica.id == "new":
            chosen.load.begin()
    assert among[2].load.in_flight == 1
