"""The kinds of balancing a policy may ask for; `auto` has files of its own."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

import pytest

from inferloom.mesh.balance.kinds import pickers
from inferloom.mesh.balance.load import ReplicaLoad
from inferloom.mesh.balance.locality import in_zone
from inferloom.mesh.call import Call, Verdict
from inferloom.mesh.catalog import Replica
from inferloom.mesh.policy import Balancing

CALL = Call("iris", "", "/m", b"", (), 1.0)


@dataclass
class Candidate:
    replica: Replica
    load: ReplicaLoad = field(default_factory=lambda: ReplicaLoad(float("-inf")))


def candidates(*weights: float) -> list[Candidate]:
    return [Candidate(Replica("iris", str(number), "h", 1, weight=weight)) for number, weight in enumerate(weights)]


def picks(balancing: Balancing, among: list[Candidate], count: int, now: float = 0.0) -> list[str]:
    picker = pickers(random.Random(3))[balancing]
    return [picker.pick(among, CALL, now).replica.id for _ in range(count)]


def test_there_is_a_picker_for_each_kind() -> None:
    assert set(pickers(random.Random(1))) == set(Balancing)


@pytest.mark.parametrize("balancing", Balancing)
def test_a_lone_candidate_is_picked(balancing: Balancing) -> None:
    assert picks(balancing, candidates(1.0), 3) == ["0"] * 3


def test_round_robin_takes_turns_by_weight_and_spreads_them() -> None:
    assert picks(Balancing.ROUND_ROBIN, candidates(1, 1, 1), 6) == ["0", "1", "2"] * 2
    assert picks(Balancing.ROUND_ROBIN, candidates(5, 1, 1), 7) == ["0", "0", "1", "0", "2", "0", "0"]


def test_round_robin_gives_a_new_replica_a_tenth_at_first_and_its_share_at_last() -> None:
    old, new = candidates(1, 1)
    new.load.began = 0.0
    assert Counter(picks(Balancing.ROUND_ROBIN, [old, new], 110)) == {"0": 100, "1": 10}
    assert Counter(picks(Balancing.ROUND_ROBIN, [old, new], 100, 31.0)) == {"0": 50, "1": 50}


def test_without_a_slow_start_a_new_replica_has_its_share_at_once() -> None:
    old, new = candidates(1, 1)
    new.load.began, new.load.slow_start = 0.0, 0.0
    assert Counter(picks(Balancing.ROUND_ROBIN, [old, new], 100)) == {"0": 50, "1": 50}


def test_random_looks_at_nothing() -> None:
    among = candidates(1, 9)
    among[0].load.in_flight = 100
    assert 900 < Counter(picks(Balancing.RANDOM, among, 2000))["0"] < 1100


def test_least_request_looks_at_requests_in_flight_and_weights_and_not_at_latency() -> None:
    one, two = candidates(1, 1)
    one.load.in_flight = 1
    for load, seconds in ((one.load, 0.001), (two.load, 10.0)):
        load.begin()
        load.done(Verdict.SUCCESS, seconds, 0.0)
    assert set(picks(Balancing.LEAST_REQUEST, [one, two], 20)) == {"1"}
    heavy, light = candidates(3, 1)
    heavy.load.in_flight = 1
    assert set(picks(Balancing.LEAST_REQUEST, [heavy, light], 20)) == {"0"}


@pytest.mark.parametrize(
    ("locality", "zone", "same"),
    [
        ("eu/a", "eu/a", True),
        ("eu/a", "a", True),
        ("a", "eu/a", True),
        ("eu/a", "us/a", False),
        ("eu/a", "eu/b", False),
        ("eu/a", "", False),
        ("", "", False),
        ("", "a", False),
    ],
)
def test_a_zone_may_be_written_with_its_region_or_without(locality: str, zone: str, same: bool) -> None:
    assert in_zone(locality, zone) is same
