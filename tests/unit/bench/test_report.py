import json
from dataclasses import replace

import pytest

from bench.report import ALONE, BUSY, Memory, Report, Sample

BASE = Sample("honest", BUSY, 0, 1000, rate=2000.0, median_us=500.0, p99_us=900.0, hop_cpu_us=300.0, triton_cpu_us=80.0)


def report(*samples: Sample, resident: int = 100_000_000) -> Report:
    memory = {"router": Memory(resident, resident)}
    return Report(samples, memory if any(s.path == "router" for s in samples) else {}, {})


def router(**changes: float) -> Sample:
    return replace(BASE, path="router", **changes)  # type: ignore[arg-type]


def test_a_ratio_is_the_median_over_rounds_so_that_swings_cancel_out() -> None:
    samples = []
    for round_, swing in enumerate((1.0, 0.5, 3.0)):  # the machine is 0.5 or 3 times as fast in a round
        samples.append(replace(BASE, round=round_, rate=2000 * swing))
        samples.append(router(round=round_, rate=1800 * swing))
    assert report(*samples).ratio("router", "honest", BUSY, "rate") == pytest.approx(0.9)


def test_what_a_path_adds_is_measured_one_at_a_time_and_in_milliseconds() -> None:
    samples = [replace(BASE, load=ALONE), replace(router(median_us=620.0), load=ALONE), BASE, router(median_us=9999.0)]
    assert report(*samples).added_ms("router", "honest") == pytest.approx(0.12)


def test_a_path_that_was_not_measured_has_no_figures() -> None:
    some = report(BASE)
    assert some.median("router", BUSY, "rate") is None
    assert some.ratio("router", "honest", BUSY, "rate") is None
    assert some.added_ms("router", "honest") is None
    assert some.targets() == []


def test_a_path_without_a_process_has_no_ratio_of_cpu_time() -> None:
    direct = replace(BASE, path="direct", hop_cpu_us=0.0)
    assert report(BASE, direct).ratio("honest", "direct", BUSY, "hop_cpu_us") is None


@pytest.mark.parametrize(
    ("changes", "met"),
    [
        ({"rate": 1710.0, "hop_cpu_us": 350.0}, [True, True, True]),
        ({"rate": 1690.0, "hop_cpu_us": 360.0}, [False, False, True]),
        ({"rate": 2100.0, "hop_cpu_us": 280.0}, [True, True, True]),
    ],
)
def test_the_router_is_held_to_085_of_the_honest_proxy_in_both_measures(
    changes: dict[str, float], met: list[bool]
) -> None:
    assert [target.met for target in report(BASE, router(**changes)).targets()] == met


def test_the_router_is_held_to_015_ms_and_120_mb() -> None:
    alone = [replace(BASE, load=ALONE), replace(router(median_us=651.0), load=ALONE)]
    assert [target.met for target in report(*alone, resident=121_000_000).targets()] == [False, False]
    alone[1] = replace(alone[1], median_us=649.0)
    assert [target.met for target in report(*alone, resident=119_000_000).targets()] == [True, True]


def test_the_json_has_raw_samples_medians_ratios_and_verdicts() -> None:
    written = json.loads(json.dumps(report(BASE, router(rate=1800.0)).as_json()))
    assert [sample["path"] for sample in written["samples"]] == ["honest", "router"]
    assert written["medians"]["router"][BUSY]["rate"] == 1800.0
    assert written["ratios"]["router"]["honest"]["rate"] == pytest.approx(0.9)
    assert written["targets"][0]["met"] is True
