"""Parts of a Grafana dashboard as plain values: only what differs from Grafana's defaults."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

__all__ = ["Panel", "Row", "dashboard", "variable"]

SOURCE = {"type": "prometheus", "uid": "${source}"}
WIDTH, HEIGHT = 24, 8  # of the grid, and of a panel


class Panel(NamedTuple):
    """A graph.

    Args:
        queries: expression and legend of each.
        unit: Grafana's name of it.
    """

    title: str
    queries: Sequence[tuple[str, str]]
    unit: str = "short"
    text: str = ""
    kind: str = "timeseries"
    stacked: bool = False


class Row(NamedTuple):
    """Panels side by side, under a heading."""

    title: str
    panels: Sequence[Panel]


def variable(name: str, label: str, query: str, *, many: bool = False) -> dict[str, Any]:
    """A drop-down of a label's values."""
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": many,
        "includeAll": many,
        "current": {"text": "All", "value": "$__all"} if many else {},
    }


def dashboard(
    uid: str, title: str, text: str, rows: Sequence[Row], variables: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """A whole one, as Grafana imports it."""
    panels: list[dict[str, Any]] = []
    top = 0
    for row in rows:
        panels.append(_row(len(panels) + 1, row.title, top))
        top += 1
        width = WIDTH // len(row.panels)
        for number, panel in enumerate(row.panels):
            panels.append(_panel(len(panels) + 1, panel, number * width, top, width))
        top += HEIGHT
    source = {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus", "current": {}}
    return {
        "uid": uid,
        "title": title,
        "description": text,
        "tags": ["inferloom"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "links": [{"type": "dashboards", "tags": ["inferloom"], "title": "inferloom", "asDropdown": True}],
        "templating": {"list": [source, *variables]},
        "panels": panels,
    }


def _row(number: int, title: str, top: int) -> dict[str, Any]:
    return {
        "id": number,
        "type": "row",
        "title": title,
        "collapsed": False,
        "gridPos": {"x": 0, "y": top, "w": WIDTH, "h": 1},
        "panels": [],
    }


def _panel(number: int, panel: Panel, left: int, top: int, width: int) -> dict[str, Any]:
    custom: dict[str, Any] = {"fillOpacity": 10, "showPoints": "never"}
    if panel.stacked:
        custom["stacking"] = {"mode": "normal"}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text,
        "datasource": SOURCE,
        "gridPos": {"x": left, "y": top, "w": width, "h": HEIGHT},
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0, "custom": custom if panel.kind == "timeseries" else {}},
            "overrides": [],
        },
        "options": {"tooltip": {"mode": "multi", "sort": "desc"}} if panel.kind == "timeseries" else {},
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": SOURCE, "expr": expression, "legendFormat": legend}
            for place, (expression, legend) in enumerate(panel.queries)
        ],
    }
