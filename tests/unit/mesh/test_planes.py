from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from inferloom.mesh.catalog import Model
from inferloom.mesh.planes import TABLE, Honoured, needs_python, warnings
from inferloom.mesh.policy import Objective, TrafficPolicy
from inferloom.mesh.policy_fields import FIELDS
from inferloom.mesh.split import Split
from tests.unit.mesh.fakes import replica

PAGE = Path(__file__).parents[3] / "docs" / "data-planes.md"
IRIS = Model("iris", (replica("a"),))


def test_the_table_has_a_line_for_each_field() -> None:
    assert list(TABLE) == list(FIELDS)


def test_every_field_that_is_not_kept_to_has_a_warning_and_no_other() -> None:
    for path, plane in TABLE.items():
        assert bool(plane.warning) == (plane.honoured is not Honoured.YES), path


def test_the_page_is_what_the_command_prints() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "inferloom.mesh.planes"], capture_output=True, text=True, check=True
    )
    assert printed.stdout == PAGE.read_text(), "run: python -m inferloom.mesh.planes > docs/data-planes.md"


def test_only_explicit_choices_warn() -> None:
    assert warnings({}) == []
    assert (
        warnings({"timeout": "2s", "retry": {"attempts": 2}, "balancing": "least_request", "locality": "prefer"}) == []
    )
    assert warnings({"timeout": "2s", "retry": {"jitter": 0.2}}) == [
        "with gateway: envoy, retry.jitter has no effect: waits are all random"
    ]
    everything = TrafficPolicy(affinity="user", objective=Objective(availability=99.9, latency=0.1))
    assert len(warnings(everything.to_json())) == sum(bool(plane.warning) for plane in TABLE.values())


@pytest.mark.parametrize(("balancing", "count"), [("auto", 1), ("random", 1), ("round_robin", 2), ("least_request", 2)])
def test_balancing_beside_affinity_is_said_to_have_no_effect(balancing: str, count: int) -> None:
    assert len(warnings({"affinity": "user", "balancing": balancing})) == count


def test_a_split_with_a_mirror_needs_python() -> None:
    plain = {"arms": [{"name": "1", "share": 1}]}
    mirrored = {"arms": [*plain["arms"], {"name": "2", "mirror": True}]}
    policy = TrafficPolicy()
    assert needs_python(policy, IRIS, None) == ""
    assert needs_python(policy, IRIS, Split.from_json("iris", plain)) == ""
    assert "mirrors (2)" in needs_python(policy, IRIS, Split.from_json("iris", mirrored))
