"""What is checked in beside the code is what the code says."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitoring.families import families
from monitoring.grafana import FOLDER, dashboards, text_of
from monitoring.keep import names_in
from monitoring.made_up import CASES
from monitoring.page import page
from monitoring.replay import EXPECTED
from monitoring.series import notation, read

ROOT = Path(__file__).parents[3]
MONITORING = ROOT / "monitoring"
SUFFIXES = ("_bucket", "_sum", "_count")
TRITON = ("nv_", "envoy_")


def rules() -> list[dict[str, Any]]:
    loaded = [yaml.safe_load(path.read_text()) for path in (MONITORING / "rules").glob("*.yaml")]
    return [rule for file in loaded for group in file["groups"] for rule in group["rules"]]


def expressions() -> list[str]:
    panels = [panel for board in dashboards().values() for panel in board["panels"]]
    return [rule["expr"] for rule in rules()] + [t["expr"] for panel in panels for t in panel.get("targets", ())]


def test_the_dashboards_are_what_their_code_says() -> None:
    written = {path.stem: path.read_text() for path in FOLDER.glob("*.json")}
    made = {name: text_of(value) for name, value in dashboards().items()}
    assert written == made, "run: python -m monitoring.grafana"


def test_the_page_is_what_the_metrics_and_rules_say() -> None:
    assert (ROOT / "docs" / "metrics.md").read_text() == page(), "run: python -m monitoring.page > docs/metrics.md"


def test_every_metric_that_a_rule_or_dashboard_reads_is_there() -> None:
    there = {family.name for found in families().values() for family in found}
    histograms = {f.name for found in families().values() for f in found if f.kind == "histogram"}
    there |= {f"{name}{suffix}" for name in histograms for suffix in SUFFIXES}
    for expression in expressions():
        for name in names_in(expression):
            assert name in there or name.startswith(TRITON) or name == "up", f"{name} in {expression}"


def test_every_recorded_series_that_is_read_is_recorded() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    for expression in expressions():
        for word in expression.replace("(", " ").replace("{", " ").replace("[", " ").replace(")", " ").split():
            if word.startswith("inferloom:"):
                assert word.rstrip(",") in recorded, f"{word} in {expression}"


def test_every_metric_has_a_text_and_no_name_twice_in_a_role() -> None:
    for role, found in families().items():
        assert all(family.text for family in found), role
        names = [family.name for family in found]
        assert len(names) == len(set(names)), role


def test_every_alert_names_a_severity_and_says_what_is_wrong() -> None:
    for rule in rules():
        if "alert" in rule:
            assert rule["labels"]["severity"] in ("critical", "warning")
            assert rule["annotations"]["summary"]


def test_there_is_a_recording_of_each_incident_with_five_minutes_before_it_and_two_after_it() -> None:
    recordings = {path.stem: read(path) for path in (MONITORING / "recordings").glob("*.txt")}
    assert recordings.keys() == EXPECTED.keys()
    for name, recording in recordings.items():
        assert recording.cause >= 300 if EXPECTED[name] else recording.cause == 0
        lengths = {_length(values) for values in recording.series.values()}
        assert len(lengths) == 1, name
        assert (lengths.pop() - 1) * recording.every >= recording.cause + 120


def test_every_alert_has_been_seen_to_fire_in_a_recording_or_by_a_case_that_is_made_up() -> None:
    recorded = {alert["alertname"] for alerts in EXPECTED.values() for alert in alerts}
    made_up = {alert["alertname"] for case in CASES.values() for alert in case.expected}
    assert recorded | made_up == {rule["alert"] for rule in rules() if "alert" in rule}


def test_the_notation_of_values() -> None:
    assert notation([1.0, 1.0, 1.0]) == "1+0x2"
    assert notation([0.0, 2.0, 4.0, 4.0, 4.0]) == "0+2x2 4+0x1"
    assert notation([None, None, 0.5, 0.5, 0.7, None]) == "_x2 0.5+0x1 0.7 _"
    assert notation([3.0, 2.0, 1.0]) == "3-1x2"


@pytest.mark.parametrize("seed", range(20))
def test_the_notation_means_the_values_it_was_made_of(seed: int) -> None:
    rng = random.Random(seed)
    values = [rng.choice([None, 0.0, 1.0, 2.0, 3.0, 0.25]) for _ in range(40)]
    assert _expanded(notation(values)) == values


def _length(values: str) -> int:
    return len(_expanded(values))


def _expanded(text: str) -> list[float | None]:
    found: list[float | None] = []
    for part in text.split():
        head, _, times = part.partition("x")
        if head == "_":
            found += [None] * int(times or 1)
            continue
        sign = max(head.rfind("+"), head.rfind("-", 1))
        if not times:
            found.append(float(head))
            continue
        first, step = float(head[:sign]), float(head[sign:])
        found += [first + step * number for number in range(int(times) + 1)]
    return found
