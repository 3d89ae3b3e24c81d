"""python -m monitoring.page > docs/metrics.md: the page of metrics, rules, alerts and logs, from the code and the files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from monitoring.families import Family, families

__all__ = ["page"]

HERE = Path(__file__).resolve().parent


def page() -> str:
    """Markdown."""
    text = (HERE / "page.md").read_text()
    return text.replace("<!-- metrics -->\n", _metrics()).replace("<!-- alerts -->\n", _alerts())


def _metrics() -> str:
    parts = []
    for role, found in families().items():
        rows = "".join(_row(family) for family in found)
        parts.append(f"### {role[0].upper()}{role[1:]}\n\n| metric | kind | labels | |\n|---|---|---|---|\n{rows}")
    return "\n".join(parts)


def _row(family: Family) -> str:
    labels = ", ".join(family.labels)
    return f"| `{family.name}` | {family.kind} | {labels} | {family.text} |\n"


def _alerts() -> str:
    loaded: Any = yaml.safe_load((HERE / "rules" / "alerts.yaml").read_text())
    rows = []
    for group in loaded["groups"]:
        for rule in group["rules"]:
            waits = rule.get("for", "at once")
            rows.append(
                f"| `{rule['alert']}` | {rule['labels']['severity']} | {waits} | `{' '.join(rule['expr'].split())}` |\n"
            )
    return "| alert | severity | holds for | |\n|---|---|---|---|\n" + "".join(rows)


if __name__ == "__main__":
    sys.stdout.write(page())
