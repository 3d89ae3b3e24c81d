from xml.etree import ElementTree

import pytest

from bench.peers.draw import draw
from bench.peers.report import ONE_MODEL, OURS, OURS_SINGLE, PeerReport, PeerSample
from bench.peers.settings import SETTINGS


def sample(who: str, load: str, rate: float, median_ms: float, turn: str) -> PeerSample:
    return PeerSample(who, "three", load, turn, 100, rate, median_ms)


SAMPLES = [
    sample("A", "64", 100, 640, "1/A"),
    sample(OURS, "64", 300, 213, "1/A"),
    sample("A", "64", 200, 320, "2/A"),  # the machine was twice as fast
    sample(OURS, "64", 800, 80, "2/A"),
    sample("B", "64", 120, 533, "1/B"),
    sample(OURS, "64", 240, 266, "1/B"),
    sample("B", "1", 50, 20, "1/B"),
    sample(OURS, "1", 500, 2, "1/B"),
    sample("A", "1", 200, 5, "1/A"),
    sample(OURS, "1", 400, 2.5, "1/A"),
    sample(OURS_SINGLE, "64", 500, 128, "1/B"),
]


def test_a_ratio_is_taken_within_a_turn() -> None:
    report = PeerReport(SAMPLES, {})
    assert report.ratio(OURS, "A", "three", "64", "rate") == pytest.approx(3.5)


def test_each_target_is_held_against_the_peers_best_setting_for_it() -> None:
    report = PeerReport(SAMPLES, {}, frozenset({"B", OURS_SINGLE}))
    busy, alone, single = report.targets()
    assert [target.what.rpartition(" ")[2] for target in (busy, alone, single)] == ["A", "A", "B"]
    assert [busy.value, alone.value, single.value] == pytest.approx([3.5, 0.5, 500 / 120])
    assert busy.met
    assert alone.met


def test_the_picture_has_a_line_for_each_setting_in_each_panel() -> None:
    lines = {"ours": [(100.0, 1.0), (1000.0, 10.0)], "R & B": [(10.0, 5.0), (90.0, 50.0)]}
    root = ElementTree.fromstring(draw({"three": lines, "four": lines}, 1))
    drawn = root.findall(".//{*}polyline")
    assert len(drawn) == 4
    assert len({line.get("stroke") for line in drawn}) == 2
    assert [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")].count("R & B") == 1


def test_settings_have_names_of_their_own() -> None:
    assert len({setting.name for setting in SETTINGS}) == len(SETTINGS)


def test_one_model_through_the_edge_is_held_to_four_times_the_peers_best() -> None:
    samples = [
        PeerSample("A", ONE_MODEL, "64", "1", 100, 1000.0, 64.0),
        PeerSample("B", ONE_MODEL, "64", "1", 100, 2000.0, 32.0),
        PeerSample(OURS, ONE_MODEL, "64", "1", 100, 9000.0, 7.0),
    ]
    [target] = PeerReport(samples, {}).targets()
    assert (target.value, target.bound, target.met) == (4.5, 4.0, True)
    assert target.what.endswith("to B")
