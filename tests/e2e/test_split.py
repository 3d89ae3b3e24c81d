"""`inferloom add --as NAME:2`, `inferloom split` and what it shows, on a running mesh."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tritonclient.grpc import InferenceServerClient

from tests.e2e.callers import tensor
from tests.support.up import Home, Up, wait_for

USERS = [f"user-{number}" for number in range(60)]

# Answers which version it is.
WHICH = """
import numpy as np


class Which:
    inputs = {{"x": "FP32[-1,2]"}}
    outputs = {{"y": "FP32[-1,2]"}}

    def predict(self, x):
        return np.full_like(x, {answer}) + np.array([0, {tilt}], np.float32)
"""


def which(folder: Path, answer: int, tilt: float = 0.5) -> Path:
    path = folder / f"which{answer}.py"
    path.write_text(WHICH.format(answer=answer, tilt=tilt))
    return path


@pytest.fixture(scope="module")
def up(homes: Callable[[], Home], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A mesh with versions 1 and 2 of `which`; 2 gives another label."""
    folder = tmp_path_factory.mktemp("which")
    with homes().up(which(folder, 1), "--as", "which:1") as running:
        added = running.run("add", which(folder, 2, -0.5), "--as", "which:2")
        assert added.status == 0, str(added)
        yield running


@pytest.fixture(autouse=True)
def no_split(up: Up) -> Iterator[None]:
    yield
    up.run("split", "which", "--remove")


def answers(up: Up, users: list[str], version: str = "") -> list[int]:
    """The version that answers each user."""
    client = InferenceServerClient(up.address)
    try:
        given: Any = [
            client.infer("which", [tensor("x", [[0, 0]])], version, headers={"user": user} if user else None)
            for user in users
        ]
    finally:
        client.close()
    return [int(each.as_numpy("y")[0, 0]) for each in given]


def split(up: Up, *arguments: str) -> str:
    done = up.run("split", "which", *arguments)
    assert done.status == 0, str(done)
    return done.out


def figures(up: Up) -> dict[str, Any]:
    return {arm["arm"]: arm for arm in json.loads(split(up, "--json"))["arms"]}


def requests(arm: dict[str, Any]) -> int:
    return sum(map(int, arm["codes"].values()))


def test_users_are_shared_out_kept_raised_and_taken_back(up: Up) -> None:
    assert set(answers(up, USERS)) == {1}  # adding a version moved nobody
    assert "which: 1 gets 50 %, 2 gets 50 %, by user" in split(up, "1=50", "2=50", "--by", "user")
    halves = answers(up, USERS)
    assert set(halves) == {1, 2}
    assert answers(up, USERS) == halves
    told = figures(up)
    assert {arm: requests(told[arm]) for arm in told} == {"1": 2 * halves.count(1), "2": 2 * halves.count(2)}
    assert "which:2" in split(up)  # the table, once: it is no terminal
    assert "40.0% of the units have another arm than before" in split(up, "1=10", "2=90")
    wait_for(lambda: answers(up, USERS) != halves, 5)
    raised = answers(up, USERS)
    assert all(now == 2 for was, now in zip(halves, raised, strict=True) if was == 2)
    assert "which: 1 gets 50 %, 2 gets 50 %, by user" in split(up, "--undo")
    wait_for(lambda: answers(up, USERS) == halves, 5)
    lines = split(up, "--history").splitlines()
    assert [line.split("  ")[-1].strip() for line in lines[:3]] == [
        "1 gets 50 %, 2 gets 50 %, by user",
        "1 gets 10 %, 2 gets 90 %, by user",
        "1 gets 50 %, 2 gets 50 %, by user",
    ]


def test_a_tester_is_set_by_hand_and_a_named_version_is_left_alone(up: Up) -> None:
    split(up, "1=100", "2=0", "--by", "user", "--override", "u17=2")
    wait_for(lambda: answers(up, ["u17"]) == [2], 5)
    assert answers(up, ["u18", ""]) == [1, 1]
    assert answers(up, ["u18"], "2") == [2]


def test_a_mirror_is_compared_and_answers_nobody(up: Up) -> None:
    split(up, "1=100", "--mirror", "2=100")
    wait_for(lambda: "2" in figures(up), 5)
    assert answers(up, USERS) == [1] * len(USERS)
    wait_for(lambda: int(figures(up)["2"]["compared"]["differed"]) == len(USERS), 5)
    assert "0.0% of 60" in split(up)


def test_a_version_that_is_not_there_is_refused_with_the_cure(up: Up) -> None:
    refused = up.run("split", "which", "1=90", "3=10")
    assert refused.status == 2
    cure = "add it: inferloom add FILE --as which:3"
    assert refused.error.strip() == f"version 3 of 'which' is not served (versions: 1, 2); {cure}"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--undo", "--remove"), "--undo and --remove: one at a time"),
        (("1=100", "--undo"), "--undo and a change: one at a time"),
        ((), "no split 'which' is in force; make one: inferloom split which 1=90 2=10"),
        (("--remove",), "'which' has no split"),
        (("1",), "'1' is no ARM=SHARE, as 1=90"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(up: Up, arguments: tuple[str, ...], why: str) -> None:
    wait_for(lambda: up.run("split", "which", "--json").status == 2, 5)
    refused = up.run("split", "which", *arguments)
    assert refused.status == 2, str(refused)
    assert refused.error.strip() == why


def test_a_model_that_is_not_there_is_refused(up: Up) -> None:
    assert "model 'wich' not found; did you mean which?" in up.run("split", "wich", "1=1").error


def test_a_version_that_has_a_share_stays_until_the_split_lets_it_go(up: Up) -> None:
    split(up, "1=50", "2=50", "--by", "user")
    refused = up.run("remove", "which:2")
    assert refused.status == 2, str(refused)
    assert refused.error.strip() == (
        "the split of 'which' sends requests to which:2: first inferloom split which OTHER=100"
    )


def test_who_was_shown_what_is_recorded_beside_the_logs(up: Up) -> None:
    split(up, "1=50", "2=50", "--by", "user")
    wait_for(lambda: set(answers(up, USERS)) == {1, 2}, 5)
    [file] = (up.home.state / "logs").glob("*/exposures.jsonl")

    def arms() -> set[str]:
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        assert all(line["split"] == "which" for line in lines)
        return {line["arm"] for line in lines}

    wait_for(lambda: arms() == {"1", "2"}, 5)


def test_a_model_that_is_removed_takes_its_split_with_it(up: Up, tmp_path: Path) -> None:
    added = up.run("add", which(tmp_path, 3), "--as", "other:1")
    assert added.status == 0, str(added)
    assert up.run("split", "other", "1=100").status == 0
    removed = up.run("remove", "other")
    assert (removed.status, removed.out) == (0, "removed the split of other\nremoved other\n"), str(removed)
    assert "no split 'other' is in force" in up.run("split", "other", "--json").error
