"""The chart as a whole: every combination of options lints, renders, and is valid for Kubernetes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from inferloom.mesh.version import __version__
from tests.support.helm import CHART, MATRIX, lint, render

DOCS = Path(__file__).parents[2] / "docs" / "kubernetes.md"


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX.keys())
def test_the_chart_lints_strictly_and_every_object_is_valid_for_kubernetes(values: dict[str, Any]) -> None:
    assert lint(values) == []
    rendered = render(values)
    names = [(found["kind"], found["metadata"]["name"]) for found in rendered.objects]
    assert len(names) == len(set(names))
    expected = 1 + len(values.get("models", {}))
    assert len(rendered.all("Deployment")) == expected


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX.keys())
def test_no_selector_finds_another_components_pods(values: dict[str, Any]) -> None:
    deployments = render(values).all("Deployment")
    for owner in deployments:
        selector = owner["spec"]["selector"]["matchLabels"].items()
        found = [d for d in deployments if selector <= d["spec"]["template"]["metadata"]["labels"].items()]
        assert found == [owner]


def test_the_chart_carries_inferlooms_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == chart["version"] == __version__


def test_the_notes_name_the_entries_and_what_a_client_needs() -> None:
    notes = render(MATRIX["TLS and tokens"]).notes
    assert "1 model entry (digits)" in notes
    assert "the client needs the authority of Secret router-tls and the bearer token of Secret callers" in notes
    assert "There is no model yet" in render().notes
    assert "load code" in render(MATRIX["no network policy"]).notes


def test_every_object_in_the_schema_refuses_unknown_keys() -> None:
    free = []

    def walk(node: Any, place: str) -> None:
        if isinstance(node, dict):
            if node.get("type") == "object" and "additionalProperties" not in node:
                free.append(place)
            for key, child in node.items():
                walk(child, f"{place}/{key}")

    walk(json.loads((CHART / "values.schema.json").read_text()), "")
    # Helm's own, and a volume source as Kubernetes has it: one key, of those that Kubernetes knows.
    assert free == ["/$defs/repository/properties/volume", "/properties/global"]


def test_the_values_in_the_documentation_render() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        values = yaml.safe_load(block)
        assert lint(values) == []
        assert render(values).objects


def test_the_options_tried_here_use_every_key_of_the_chart() -> None:
    def keys(node: Any) -> set[str]:
        if isinstance(node, dict):
            return set(node).union(*(keys(child) for child in node.values()))
        return set().union(*(keys(child) for child in node)) if isinstance(node, list) else set()

    unused = keys(yaml.safe_load((CHART / "values.yaml").read_text())) - keys(MATRIX)
    assert unused == set()
