"""python -m monitoring.grafana: writes monitoring/dashboards/*.json, which Grafana imports or provisions.

Change a dashboard in boards/ and write it anew; a test says so where the files are others.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from monitoring.boards import gateway, mesh, model, pipelines
from monitoring.panels import dashboard, variable

__all__ = ["FOLDER", "dashboards", "text_of"]

FOLDER = Path(__file__).resolve().parent / "dashboards"


def dashboards() -> dict[str, dict[str, Any]]:
    """All of them, by file name."""
    of_model = variable("model", "model", "label_values(inferloom_replica_usable, model)")
    of_pipeline = variable(
        "pipeline", "pipeline", "label_values(inferloom_pipeline_node_stood_in_total, pipeline)", many=True
    )
    return {
        "mesh": dashboard("inferloom-mesh", "inferloom: mesh", "Everything at a glance.", mesh.ROWS, []),
        "model": dashboard(
            "inferloom-model", "inferloom: model", "One model, from the router into Triton.", model.ROWS, [of_model]
        ),
        "pipelines": dashboard(
            "inferloom-pipelines",
            "inferloom: services and pipelines",
            "Hosts, nodes and batches.",
            pipelines.ROWS,
            [of_pipeline],
        ),
        "gateway": dashboard(
            "inferloom-gateway", "inferloom: gateway", "Envoy at the edge, and its control plane.", gateway.ROWS, []
        ),
    }


def text_of(value: dict[str, Any]) -> str:
    """The file's text."""
    return json.dumps(value, indent=1) + "\n"


if __name__ == "__main__":
    for name, value in dashboards().items():
        (FOLDER / f"{name}.json").write_text(text_of(value))
