import pytest

from bench.pipelines.report import PipelineReport, PipelineSample, ideal_rate, least_ms
from bench.pipelines.subjects import GRAPHS, Subject, values


def lone(name: str, way: str, median_ms: float, round_: int = 0) -> PipelineSample:
    return PipelineSample(name, way, "1", round_, 100, 1e3 / median_ms, median_ms, 2 * median_ms, 0.0)


STAGES = [lone(f"stage-0-{number}", "direct", float(number)) for number in (1, 2, 3, 4)]


def test_three_stages_take_the_sum_of_theirs_and_an_ensemble_its_slowest() -> None:
    times = {sample.name: sample.median_ms for sample in STAGES}
    assert least_ms("three-0", times.get) == 6.0
    assert least_ms("four-0", times.get) == 4.0
    assert least_ms("four-5", times.get) is None


def test_what_is_added_is_taken_within_a_round_and_then_the_median() -> None:
    rounds = [
        lone(sample.name, sample.way, sample.median_ms * scale, number)
        for number, scale in enumerate((1, 10, 1))
        for sample in STAGES
    ]
    graphs = [lone("three-0", "host", own, number) for number, own in enumerate((7.0, 62.0, 9.0))]
    report = PipelineReport([*rounds, *graphs], {})
    assert report.added_ms("three-0", "host") == pytest.approx(2.0)
    assert report.added_ms("three-0", "router") is None


def test_a_service_is_held_against_the_model_that_does_the_same() -> None:
    report = PipelineReport([*STAGES, lone("AddOne", "host", 1.4)], {})
    assert report.added_ms("AddOne", "host") == pytest.approx(0.4)
    target = next(target for target in report.targets() if "service" in target.what)
    assert target.met


def test_the_ideal_is_all_in_flight_each_time_the_longest_way_is_done() -> None:
    assert ideal_rate("three-5", 64) == pytest.approx(64 / 0.015)
    assert ideal_rate("four-5", 64) == pytest.approx(64 / 0.005)
    assert ideal_rate("three-0", 64) is None
    assert ideal_rate("three-single", 64) is None


def test_less_than_nine_tenths_of_direct_calls_one_after_another_is_a_missed_target() -> None:
    direct = PipelineSample("stage-5-1", "direct", "64", 0, 100, 3000, 20, 30, 0)
    three = PipelineSample("three-5", "host", "64", 0, 100, 800, 20, 30, 0)
    four = PipelineSample("four-5", "host", "64", 0, 100, 2700, 20, 30, 0)
    assert PipelineReport([direct, four], {}).of_direct("four-5", "host", "64") == pytest.approx(0.9)
    beside, alone = PipelineReport([direct, three], {}).targets()
    assert beside.value == pytest.approx(0.8)
    assert alone.value == pytest.approx(800 * 0.015 / 64)
    assert not beside.met
    assert not alone.met


def test_only_the_sums_of_the_stages_are_right_answers() -> None:
    three = Subject("three-0", "host", GRAPHS["three"])
    assert three.right(tuple(value + 6 for value in values))
    assert not three.right(tuple(value + 5 for value in values))
    assert not three.right(())
