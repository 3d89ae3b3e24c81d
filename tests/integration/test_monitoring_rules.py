"""Rules, alerts and dashboards, by Prometheus' own promtool, against what real meshes have been through."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from monitoring.grafana import dashboards
from monitoring.promtool import obtain_promtool
from monitoring.replay import EXPECTED, replay, replay_made_up

ROOT = Path(__file__).parents[2]
RULES = ROOT / "monitoring" / "rules"


@pytest.fixture(scope="module")
def promtool() -> Path:
    return obtain_promtool()


def checked(promtool: Path, *paths: Path) -> str:
    done = subprocess.run([promtool, "check", "rules", *paths], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_the_rules_are_rules(promtool: Path) -> None:
    assert checked(promtool, *RULES.glob("*.yaml")) == ""


def configured(promtool: Path, folder: Path, text: str) -> str:
    """What promtool says of a configuration that lies in `folder`, and of the rules that it names."""
    path = folder / "prometheus.yaml"
    path.write_text(text)
    done = subprocess.run([promtool, "check", "config", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_configuration_that_the_documentation_shows_finds_the_rules(promtool: Path, tmp_path: Path) -> None:
    (tmp_path / "monitoring").symlink_to(ROOT / "monitoring")
    blocks = re.findall(
        r'```yaml title="prometheus.yaml"\n(.*?)```', (ROOT / "docs" / "metrics.md").read_text(), re.DOTALL
    )
    (text,) = blocks
    assert "2 rule files found" in configured(promtool, tmp_path, text)


def test_the_configuration_of_the_compose_file_finds_the_rules_where_they_are_mounted(
    promtool: Path, tmp_path: Path
) -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
    mounts = dict(each.split(":")[:2] for each in compose["services"]["prometheus"]["volumes"])
    text = (ROOT / "images" / "compose" / "prometheus.yaml").read_text()
    mounted = mounts["./monitoring/rules"]
    assert mounted in text
    assert "2 rule files found" in configured(promtool, tmp_path, text.replace(mounted, str(RULES)))


def test_every_query_of_a_dashboard_is_one(promtool: Path, tmp_path: Path) -> None:
    panels = [panel for board in dashboards().values() for panel in board["panels"]]
    queries = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
    path = tmp_path / "queries.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    assert len(queries) > 40
    assert checked(promtool, path) == ""


@pytest.mark.parametrize("name", EXPECTED)
def test_an_incident_is_told_within_two_minutes_of_its_cause_and_nothing_else_is(name: str, promtool: Path) -> None:
    assert replay([name]) == ""


def test_what_no_recording_shows_is_told_of_series_that_are_made_up(promtool: Path) -> None:
    assert replay_made_up() == ""


def test_an_alert_that_is_expected_and_does_not_fire_is_a_failure(
    promtool: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EXPECTED, "killed_replica", [{"alertname": "InferloomGpuMemory"}])
    said = replay(["killed_replica"])
    assert "InferloomGpuMemory" in said
    assert "InferloomReplicaDown" in said
