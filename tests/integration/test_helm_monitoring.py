"""What Prometheus and Grafana get of a release: each pod's metrics once, and the rules and dashboards of monitoring/."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from tests.support.helm import CHART, MATRIX, render
from tests.support.helm_pods import ADMIN, SCRAPED

MONITORING = Path(__file__).parents[2] / "monitoring"
SEEN = MATRIX["seen"] | {"composer": {"enabled": True}, "hosts": {"rank": {"source": "app.py"}}}


def relabelings() -> list[dict[str, Any]]:
    (monitor,) = render(SEEN).all("ServiceMonitor")
    (endpoint,) = monitor["spec"]["endpoints"]
    found: list[dict[str, Any]] = endpoint["relabelings"]
    return found


def test_every_pod_is_scraped_once_a_tritons_by_its_sidecar() -> None:
    rendered = render(SEEN)
    (monitor,) = rendered.all("ServiceMonitor")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    (service,) = [s for s in rendered.all("Service") if wanted <= s["metadata"]["labels"].items()]
    (port,) = service["spec"]["ports"]
    assert [endpoint["port"] for endpoint in monitor["spec"]["endpoints"]] == [port["name"]]
    assert port["targetPort"] == ADMIN
    for deployment in rendered.all("Deployment"):
        template = deployment["spec"]["template"]
        assert service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
        containers = [*template["spec"].get("initContainers", []), *template["spec"]["containers"]]
        opened = [each["name"] for each in containers for p in each["ports"] if p["containerPort"] == ADMIN]
        assert len(opened) == 1
        assert opened[0] in SCRAPED


def test_the_job_that_writes_documents_is_not_scraped() -> None:
    assert {"sourceLabels": ["role"], "regex": "documents", "action": "drop"} in relabelings()


def test_targets_have_the_job_that_the_alerts_name() -> None:
    named = {match for path in (MONITORING / "rules").glob("*.yaml") for match in jobs(path.read_text())}
    given = {each["replacement"] for each in relabelings() if each.get("targetLabel") == "job"}
    compose = yaml.safe_load((MONITORING.parent / "images" / "compose" / "prometheus.yaml").read_text())
    assert named == given == {each["job_name"] for each in compose["scrape_configs"]} == {"inferloom"}


def jobs(text: str) -> list[str]:
    return re.findall(r'\bjob="([^"]*)"', text)


def test_the_charts_rules_and_dashboards_are_copies() -> None:
    for folder, pattern in (("rules", "*.yaml"), ("dashboards", "*.json")):
        original = {path.name: path.read_text() for path in (MONITORING / folder).glob(pattern)}
        copied = {path.name: path.read_text() for path in (CHART / "files" / folder).iterdir()}
        assert copied == original, f"run: cp monitoring/{folder}/{pattern} helm/inferloom/files/{folder}/"


def test_rules_reach_the_operator_unchanged_where_they_are_asked_for() -> None:
    assert render().all("PrometheusRule") == []
    found = render(SEEN).all("PrometheusRule")
    assert {each["metadata"]["labels"]["release"] for each in found} == {"prometheus"}
    specs = {each["metadata"]["name"]: each["spec"] for each in found}
    assert specs == {
        f"mesh-inferloom-{path.stem}": yaml.safe_load(path.read_text()) for path in (MONITORING / "rules").iterdir()
    }


def test_dashboards_reach_grafana_unchanged_where_they_are_asked_for() -> None:
    assert render().all("ConfigMap") == []
    found = render(SEEN).one("ConfigMap", "mesh-inferloom-dashboards")
    assert found["metadata"]["labels"]["grafana_dashboard"] == "mesh"
    assert found["data"] == {path.name: path.read_text() for path in (MONITORING / "dashboards").iterdir()}
