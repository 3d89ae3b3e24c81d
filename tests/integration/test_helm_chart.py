"""The chart as a whole: every combination of options lints, renders, and is valid for Kubernetes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

from inferloom.mesh.version import __version__
from tests.support.helm import CHART, MATRIX, SIZES, lint, render

DOCS = Path(__file__).parents[2] / "docs" / "kubernetes.md"


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX.keys())
def test_the_chart_lints_strictly_and_every_object_is_valid_for_kubernetes(values: dict[str, Any]) -> None:
    assert lint(values) == []
    rendered = render(values)
    names = [(found["kind"], found["metadata"]["name"]) for found in rendered.objects]
    assert len(names) == len(set(names))
    expected = 1 + values.get("edge", {}).get("enabled", True) + values.get("composer", {}).get("enabled", False)
    expected += len(values.get("models", {})) + len(values.get("hosts", {}))
    assert len(rendered.all("Deployment")) == expected


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX.keys())
def test_no_selector_finds_another_components_pods(values: dict[str, Any]) -> None:
    deployments = render(values).all("Deployment")
    for owner in deployments:
        selector = owner["spec"]["selector"]["matchLabels"].items()
        found = [d for d in deployments if selector <= d["spec"]["template"]["metadata"]["labels"].items()]
        assert found == [owner]


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX.keys())
def test_replicas_are_spread_by_their_own_pods_number(values: dict[str, Any]) -> None:
    keys = values.get("topologyKeys", yaml.safe_load((CHART / "values.yaml").read_text())["topologyKeys"])
    for owner in render(values).all("Deployment"):
        spread = owner["spec"]["template"]["spec"].get("topologySpreadConstraints", [])
        assert [each["topologyKey"] for each in spread] == keys
        assert all(each["labelSelector"] == owner["spec"]["selector"] for each in spread)


def test_the_chart_carries_inferlooms_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == chart["version"] == __version__


def test_the_notes_name_the_entries_and_what_a_client_needs() -> None:
    notes = render(MATRIX["no edge, TLS and tokens"]).notes
    assert "1 model entry (digits)" in notes
    assert "the client needs the authority of Secret router-tls and the bearer token of Secret callers" in notes
    assert "There is no model yet" in render().notes
    assert "load code" in render(MATRIX["no network policy"]).notes
    assert "hosts Checkout, rank, composer" in render(MATRIX["hosts and pipelines"]).notes


@pytest.mark.parametrize("values", [{}, *SIZES.values()], ids=["defaults", *SIZES])
def test_an_installation_is_rehearsed_without_a_cluster(values: dict[str, Any], tmp_path: Path) -> None:
    with helm_python.Config(
        kubeconfig_path=str(tmp_path / "none"), namespace="prod", storage_driver="memory"
    ) as nowhere:
        release = nowhere.install(str(CHART), "mesh", values, dry_run="client")
    assert release["status"] == "pending-install"
    rendered = {(found["kind"], found["metadata"]["name"]) for found in render(values).objects}
    installed = [found for found in yaml.safe_load_all(release["manifest"]) if found]
    assert {(found["kind"], found["metadata"]["name"]) for found in installed} == rendered


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


def test_what_the_schema_leaves_open_is_checked_by_others() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]
    open_ones = [schema["consul-agent"], schema["documents"]["items"]["properties"]["spec"]]
    assert [each["$comment"] for each in open_ones] == [
        "checked by that chart's own schema",
        "checked by inferloom itself",
    ]
    assert json.dumps(schema).count('"additionalProperties": true') == len(open_ones)


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
