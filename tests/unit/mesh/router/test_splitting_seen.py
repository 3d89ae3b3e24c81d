"""Requests that another process has split: counted and exposed here."""

from __future__ import annotations

from typing import Any

from inferloom.mesh.splits.exposure import Exposure
from tests.unit.mesh.router.split_fakes import SplitMesh


def seen(**fields: Any) -> Exposure:
    told = Exposure("iris", "00ff00ff00ff00ff", "1", "1", 0.5, False, 7.0, "id", (), "OK", 0.02)
    return told._replace(**fields)


def test_it_is_counted_like_one_of_this_process() -> None:
    mesh = SplitMesh()
    for exposure in (
        seen(),
        seen(code="UNAVAILABLE"),
        seen(arm="2", served="1"),
        seen(arm="2", served="2", override=True),
    ):
        mesh.splitting.seen(exposure)
    one, two = mesh.figures("1"), mesh.figures("2")
    assert one.codes == {"OK": 2, "UNAVAILABLE": 1}
    assert (one.stood_in, one.overridden, one.latency.count) == (1, 0, 2)
    assert two.codes == {"OK": 1}
    assert (two.stood_in, two.overridden) == (0, 1)


def test_it_is_exposed_as_it_was_told() -> None:
    mesh = SplitMesh()
    mesh.exposures.add(mesh)
    mesh.splitting.seen(seen())
    assert mesh.recorded == [seen()]


def test_an_arm_or_split_that_is_not_known_here_is_exposed_and_counted_nowhere() -> None:
    mesh = SplitMesh()
    mesh.exposures.add(mesh)
    mesh.splitting.seen(seen(served="9"))
    mesh.splitting.seen(seen(split="wine"))
    assert len(mesh.recorded) == 2
    assert mesh.figures("1").codes == mesh.figures("2").codes == {}
