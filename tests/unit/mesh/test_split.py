"""Splits as documents: read strictly, refused with the cure."""

from __future__ import annotations

from typing import Any

import pytest

from inferloom.mesh.errors import InvalidInput
from inferloom.mesh.split import Arm, Split, changed, settled

PLAIN: dict[str, Any] = {"arms": [{"name": "1", "share": 90}, {"name": "2", "share": 10}], "by": "user"}


def spec(**changes: Any) -> dict[str, Any]:
    return {**PLAIN, **changes}


def arms(*entries: dict[str, Any]) -> dict[str, Any]:
    return spec(arms=list(entries))


def test_a_split_as_people_write_it_is_read_with_its_ranges_made() -> None:
    split = Split.from_json("iris", PLAIN)
    assert [(arm.name, arm.share, arm.target_version) for arm in split.arms] == [("1", 90, "1"), ("2", 10, "2")]
    assert [round(arm.part, 9) for arm in split.arms] == [0.9, 0.1]
    assert split.salt == "iris"
    assert split.by == "user"


def test_what_is_written_is_read_back_the_same() -> None:
    split = changed(Split.from_json("iris", spec(overrides={"u17": "2"}, salt="s")), {"1": 70, "2": 30})
    assert Split.from_json("iris", split.to_json()) == split


def test_mirrors_and_arms_with_another_model_are_read() -> None:
    entries = ({"name": "old", "version": 1, "share": 1}, {"name": "b", "model": "iris-b", "share": 0})
    split = Split.from_json("iris", arms(*entries, {"name": "3", "mirror": True, "sample": 0.5}))
    assert [arm.target_version for arm in split.arms] == ["1", "", "3"]
    assert [arm.name for arm in split.mirrors] == ["3"]
    assert [arm.name for arm in split.shared] == ["old"]


def test_an_override_wins_over_the_hash_and_its_propensity_is_1() -> None:
    split = Split.from_json("iris", spec(overrides={"u17": "2"}))
    drawn = split.assign("u17", 0.0)
    assert (drawn.arm.name, drawn.propensity, drawn.override, drawn.sticky) == ("2", 1.0, True, True)
    assert split.arm(b"u17").name == "2"


def test_the_propensity_is_the_arm_s_part() -> None:
    split = Split.from_json("iris", PLAIN)
    for unit in ("a", "b", "c"):
        drawn = split.assign(unit, 0.0)
        assert drawn.propensity == pytest.approx({"1": 0.9, "2": 0.1}[drawn.arm.name])


@pytest.mark.parametrize("unit", [None, "", b""])
def test_without_a_unit_the_draw_decides(unit: str | bytes | None) -> None:
    split = Split.from_json("iris", PLAIN)
    assert [split.assign(unit, draw).arm.name for draw in (0.0, 0.899, 0.901, 0.999999)] == ["1", "1", "2", "2"]
    assert not split.assign(unit, 0.5).sticky


def test_a_written_spec_keeps_who_can_stay() -> None:
    present = settled("iris", PLAIN, None)
    after = settled("iris", {**PLAIN, "arms": [{"name": "1", "share": 50}, {"name": "2", "share": 50}]}, present)
    before_split, after_split = Split.from_json("iris", present), Split.from_json("iris", after)
    assert after["ranges"]["2"][0] == present["ranges"]["2"][0]
    for number in range(500):
        if before_split.arm(str(number)).name == "2":
            assert after_split.arm(str(number)).name == "2"


def test_ranges_in_an_edited_spec_are_not_looked_at_when_it_is_settled() -> None:
    present = settled("iris", PLAIN, None)
    edited = {**present, "arms": [{"name": "1", "share": 50}, {"name": "2", "share": 50}]}
    assert Split.from_json("iris", settled("iris", edited, present)).arms[1].part == pytest.approx(0.5)


def test_another_salt_draws_everybody_anew() -> None:
    one = Split.from_json("iris", PLAIN)
    other = Split.of("iris", one.arms, salt="new", by="user", previous=changed(one, {"1": 10, "2": 90}))
    assert other.arms[0].ranges == one.arms[0].ranges


def test_a_new_name_among_changed_shares_is_an_arm_for_that_version() -> None:
    split = changed(Split.from_json("iris", PLAIN), {"3": 100})
    assert [(arm.name, arm.target_version, round(arm.part, 2)) for arm in split.arms] == [
        ("1", "1", 0.45),
        ("2", "2", 0.05),
        ("3", "3", 0.5),
    ]


ONE, TWO = {"name": "1", "share": 90}, {"name": "2", "share": 10}
RANGES = settled("iris", PLAIN, None)["ranges"]


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (spec(arm=[]), "unknown field 'arm'; did you mean 'arms'?"),
        (spec(colour=1), "unknown field 'colour'; there are arms, by, salt, overrides, ranges"),
        ({}, "'arms' must be a list"),
        (spec(arms="1=90"), "'arms' must be a list"),
        (arms(), "it has 0 arms; 1 to 64"),
        (spec(arms=[1]), "arms[0] must be a mapping"),
        (arms({"name": "1", "shares": 1}), "arms[0]: unknown field 'shares'; did you mean 'share'?"),
        (arms({"share": 1}), "arms[0]: 'name' is missing"),
        (arms({"name": "a b", "share": 1}), "'a b' is no name of an arm of split 'iris'"),
        (arms({"name": "a", "version": "1/2", "share": 1}), "'1/2' is no version in split 'iris': arm 'a'"),
        (arms({"name": "a", "model": "?", "share": 1}), "'?' is no model in split 'iris': arm 'a'"),
        (arms({"name": ["a"], "share": 1}), "arms[0]: 'name' must be text"),
        (arms({"name": "a", "share": "1"}), "arms[0]: 'share' must be a number, not '1'"),
        (arms({"name": "a", "share": True}), "arms[0]: 'share' must be a number, not True"),
        (arms({"name": "a", "mirror": "yes"}), "arms[0]: 'mirror' must be true or false"),
        (arms(ONE, ONE), "arm '1' is there twice"),
        (arms({"name": "1", "share": -1}, TWO), "arm '1': its share is -1.0, and must be 0 or more"),
        (arms({"name": "1", "share": float("nan")}, TWO), "must be 0 or more"),
        (arms({"name": "1", "share": 0}), "no arm has a share above 0, so nobody would answer"),
        (arms({"name": "1", "mirror": True}), "no arm has a share above 0"),
        (arms(ONE, {"name": "3", "mirror": True, "share": 1}), "arm '3' is a mirror and takes no share"),
        (arms(ONE, {"name": "3", "mirror": True, "sample": 1.5}), "its sample is 1.5, and must be 0 to 1"),
        (spec(by="User"), "by: 'User' is no key of gRPC metadata"),
        (spec(by="user id"), "is no key of gRPC metadata"),
        (spec(by="u" * 300), "'by' is longer than 256 characters"),
        (spec(salt=["x"]), "'salt' must be text"),
        (spec(overrides=[1]), "'overrides' must be a mapping"),
        (spec(overrides={"u17": "3"}), "overrides.u17: no arm '3'; there are 1, 2"),
        (spec(overrides={"": "1"}), "a unit has 1 to 256 characters"),
        (spec(overrides={"u17": "1"}, by=""), "'overrides' need 'by'"),
        (spec(ranges=[1]), "'ranges' must map arms to lists of [from, to]; leave it out and it is made"),
        (spec(ranges={"1": [[0, 0.5]]}), "'ranges' must hold whole numbers"),
        (spec(ranges={"9": [[0, 1]]}), "'ranges' names 9, and no arm is called so"),
        (spec(ranges={"1": [[0, 5]], "2": [[6, 9]]}), "'ranges' of arm '2' begin at 6 and the one before ends at 5"),
        (spec(ranges={"1": [[0, 5]]}), "'ranges' end at 5 instead of 4503599627370496"),
        (
            {**arms({"name": "1", "share": 50}, TWO), "ranges": RANGES},
            "'ranges' give arm '1' 90.00%, and its share is 83.33%; leave 'ranges' out and they are made",
        ),
    ],
)
def test_what_is_wrong_with_a_split_is_told_with_place_and_cure(broken: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        Split.from_json("iris", broken)
    assert str(refused.value).count("split 'iris'") == 1
    assert message in str(refused.value)


def test_a_split_without_ranges_is_refused_where_it_is_made_by_hand() -> None:
    with pytest.raises(InvalidInput, match="end at 0 instead"):
        Split("iris", (Arm("1", 1),))
