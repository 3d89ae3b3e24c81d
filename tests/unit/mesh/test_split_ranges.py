"""The one arm function, and who moves when shares change."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferloom.mesh.split import Arm, Split, changed
from inferloom.mesh.splits.ranges import SPAN, cut, moved, point, width

NAMES = "abcdef"
shares = st.one_of(st.integers(0, 100).map(float), st.floats(0, 1e6, allow_nan=False))
weights = st.dictionaries(st.sampled_from(NAMES), shares, min_size=1).filter(lambda drawn: sum(drawn.values()) > 0)
POINTS = [int(place) for place in np.random.default_rng(7).integers(0, SPAN, 300)]


def owners(ranges: dict[str, tuple[tuple[int, int], ...]]) -> list[str]:
    """The arm of each of POINTS."""
    pieces = sorted((start, name) for name, own in ranges.items() for start, _ in own)
    starts = [start for start, _ in pieces]
    return [pieces[bisect_right(starts, place) - 1][1] for place in POINTS]


def parts(of: dict[str, float]) -> dict[str, Fraction]:
    """Each share's part of the whole, exactly."""
    total = sum(map(Fraction, of.values()), Fraction())
    return {name: Fraction(of.get(name, 0.0)) / total for name in NAMES}


def is_whole(ranges: dict[str, tuple[tuple[int, int], ...]]) -> bool:
    at = 0
    for start, end in sorted(piece for own in ranges.values() for piece in own):
        if start != at or end <= start:
            return False
        at = end
    return at == SPAN


@settings(deadline=None)  # the machine may be busy
@given(st.lists(weights, min_size=1, max_size=8))
def test_over_any_changes_the_ranges_stay_whole_and_meet_the_shares(history: list[dict[str, float]]) -> None:
    ranges: dict[str, tuple[tuple[int, int], ...]] = {}
    before: dict[str, float] = {}
    for after in history:
        ranges = moved(ranges, before, after)
        assert is_whole(ranges)
        assert ranges.keys() == after.keys()
        for name, share in after.items():
            assert abs(width(ranges[name]) / SPAN - share / sum(after.values())) <= 2**-32
        before = after


@settings(deadline=None)  # the machine may be busy
@given(st.lists(weights, min_size=2, max_size=8))
def test_an_arm_that_grows_loses_nobody_and_one_that_shrinks_wins_nobody(history: list[dict[str, float]]) -> None:
    before = history[0]
    ranges = cut(before)
    for after in history[1:]:
        next_ranges, had, has = moved(ranges, before, after), parts(before), parts(after)
        for was, now in zip(owners(ranges), owners(next_ranges), strict=True):
            if was != now:
                assert has[was] < had[was]
                assert has[now] > had[now]
        before, ranges = after, next_ranges


@settings(deadline=None)  # the machine may be busy
@given(weights, st.sampled_from(NAMES), st.floats(0.001, 1e6))
def test_raising_one_share_moves_nobody_between_the_others_and_nobody_back(
    before: dict[str, float], raised: str, more: float
) -> None:
    ranges = cut(before)
    after = before | {raised: before.get(raised, 0.0) + more}
    for was, now in zip(owners(ranges), owners(moved(ranges, before, after)), strict=True):
        assert now in (was, raised)


@settings(deadline=None)  # the machine may be busy
@given(weights)
def test_the_same_proportions_move_nobody_at_all(before: dict[str, float]) -> None:
    ranges = cut(before)
    assert moved(ranges, before, {name: share * 2 for name, share in before.items()}) == ranges


@settings(deadline=None)  # the machine may be busy
@given(weights, st.sampled_from(NAMES))
def test_a_removed_arm_s_units_go_to_the_others_and_nobody_else_moves(before: dict[str, float], gone: str) -> None:
    after = {name: share for name, share in before.items() if name != gone}
    if sum(after.values()) == 0:
        return
    ranges = cut(before)
    for was, now in zip(owners(ranges), owners(moved(ranges, before, after)), strict=True):
        assert was in (now, gone)


def test_a_point_is_the_first_8_bytes_of_sha_256_of_salt_0x1f_and_unit() -> None:
    digest = hashlib.sha256(b"iris\x1fu17").digest()
    assert point("iris", "u17") == point("iris", b"u17") == int.from_bytes(digest[:8], "big")


def test_those_who_came_last_leave_first_so_a_share_raised_and_lowered_again_is_as_it_was() -> None:
    split = Split.of("iris", [Arm("1", 90), Arm("2", 10)], by="user")
    assert changed(changed(split, {"1": 60, "2": 40}), {"1": 90, "2": 10}) == split


def test_the_arms_of_100_000_units_are_as_uniform_as_a_generator_s() -> None:
    split = Split.of("iris", [Arm("1", 0.5), Arm("2", 0.2), Arm("3", 0.3)], by="user")
    drawn = [split.arm(f"user-{number}").name for number in range(100_000)]
    for name, share in (("1", 0.5), ("2", 0.2), ("3", 0.3)):
        assert drawn.count(name) / 100_000 == pytest.approx(share, abs=0.006)  # about 4 standard deviations
    chi = sum((drawn.count(n) - 1e5 * s) ** 2 / (1e5 * s) for n, s in (("1", 0.5), ("2", 0.2), ("3", 0.3)))
    rng = np.random.default_rng(11)
    counts = rng.multinomial(100_000, [0.5, 0.2, 0.3], size=1000)
    chance = ((counts - 1e5 * np.array([0.5, 0.2, 0.3])) ** 2 / (1e5 * np.array([0.5, 0.2, 0.3]))).sum(1)
    assert chi < np.quantile(chance, 0.999)


def test_two_salts_draw_independently() -> None:
    one, other = (Split.of("iris", [Arm("1", 1), Arm("2", 1)], by="user", salt=salt) for salt in ("a", "b"))
    same = sum(one.arm(str(number)).name == other.arm(str(number)).name for number in range(10_000))
    assert same / 10_000 == pytest.approx(0.5, abs=0.02)


def test_thousands_of_changes_leave_few_pieces_and_none_lost() -> None:
    rng = np.random.default_rng(3)
    split = Split.of("iris", [Arm(name, 1) for name in "abc"])
    for _ in range(1000):
        split = changed(split, dict(zip("abc", rng.random(3).tolist(), strict=True)))
    assert sum(len(arm.ranges) for arm in split.arms) < 400
    assert Split.from_json("iris", split.to_json()) == split  # which checks that they are whole
