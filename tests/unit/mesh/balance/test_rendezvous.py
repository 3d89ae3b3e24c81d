from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from inferloom.mesh.balance.load import ReplicaLoad
from inferloom.mesh.balance.rendezvous import Rendezvous
from inferloom.mesh.call import Call
from inferloom.mesh.catalog import Replica


@dataclass(frozen=True)
class Candidate:
    replica: Replica
    load: ReplicaLoad = field(default_factory=lambda: ReplicaLoad(0.0), compare=False)


def among(*ids: str) -> list[Candidate]:
    return [Candidate(Replica("iris", key, "h", 1)) for key in ids]


def pick(candidates: list[Candidate], key: bytes) -> str:
    return Rendezvous().pick(candidates, Call("iris", "", "/m", b"", (), 1.0, key), 0.0).replica.id


@given(st.binary(max_size=20), st.sets(st.text("abcdef", min_size=1, max_size=4), min_size=2, max_size=6), st.randoms())
@settings(max_examples=100, deadline=None)
def test_the_same_key_finds_the_same_replica_in_any_order_and_only_a_gone_ones_keys_move(
    key: bytes, ids: set[str], shuffle: object
) -> None:
    ordered = sorted(ids)
    chosen = pick(among(*ordered), key)
    assert pick(among(*reversed(ordered)), key) == chosen
    gone = next(one for one in ordered if one != chosen)
    assert pick(among(*(one for one in ordered if one != gone)), key) == chosen


def test_keys_spread_evenly() -> None:
    counts = Counter(pick(among("a", "b", "c", "d"), str(number).encode()) for number in range(4_000))
    assert all(abs(count - 1_000) < 120 for count in counts.values()), counts
