"""What the arms of several processes have done, added up."""

from __future__ import annotations

from inferloom.mesh.split import Split
from inferloom.mesh.splits.compare import Comparison
from inferloom.mesh.splits.figures import EXAMPLES, SplitFigures, added

SPLIT = Split.from_json("iris", {"arms": [{"name": "1", "share": 1}, {"name": "2", "mirror": True}]})


def process(requests: int, seconds: float, differed: int = 0) -> SplitFigures:
    figures = SplitFigures()
    figures.follow(SPLIT)
    for _ in range(requests):
        figures.of(SPLIT.arms[0]).finished("OK", seconds)
    figures.of(SPLIT.arms[0]).finished("INTERNAL", 9.0)
    mirror = figures.of(SPLIT.arms[1])
    for number in range(differed):
        mirror.mirror.compared(Comparison(False, 0.25), f"{requests}-{number}", seconds)
    mirror.mirror.compared(Comparison(True, None), "same", seconds)
    mirror.mirror.skip("busy")
    return figures


def test_counts_latencies_and_comparisons_are_added() -> None:
    real, mirror = added(process(90, 0.001).message(SPLIT), process(10, 0.1, differed=7).message(SPLIT))
    assert dict(real.codes) == {"OK": 100, "INTERNAL": 2}
    assert real.latency.count == 100
    assert real.latency.p50 < 0.0015
    assert 0.08 < real.latency.p99 <= 0.1
    told = mirror.compared
    assert (told.agreed, told.differed, dict(told.skipped)) == (2, 7, {"busy": 2})
    assert (told.difference.count, told.difference.max) == (7, 0.25)
    assert told.primary.count == 9
    assert len(told.examples) == EXAMPLES


def test_an_arm_that_only_others_know_is_left_out() -> None:
    other = Split.from_json("iris", {"arms": [{"name": "1", "share": 1}, {"name": "9", "share": 1}]})
    figures = SplitFigures()
    figures.follow(other)
    assert [arm.arm for arm in added(process(1, 0.1).message(SPLIT), figures.message(other))] == ["1", "2"]


def test_errors_are_not_in_the_latencies() -> None:
    message = process(0, 0.0).message(SPLIT)[0]
    assert (dict(message.codes), message.latency.count) == ({"INTERNAL": 1}, 0)


def test_an_arm_that_left_the_split_is_counted_in_vain_and_not_kept() -> None:
    figures = process(1, 0.1)
    gone = SPLIT.arms[0]
    figures.follow(Split.from_json("iris", {"arms": [{"name": "3", "share": 1}]}))
    figures.of(gone).finished("OK", 0.1)
    assert len(figures.arms) == 1
    figures.follow(SPLIT)
    assert figures.of(gone).codes == {}
