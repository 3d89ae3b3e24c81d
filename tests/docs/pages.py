"""The pages, shared out over test files of about equal time: CI gives a file to one worker."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.page import read_page
from tests.docs.runner import run_page

__all__ = ["FILES", "PAGES", "REFERENCE", "ROOT", "SECONDS", "group", "of_group", "run"]

ROOT = Path(__file__).parents[2]
FILES = 4  # test_pages_1.py and its fellows
PAGES = ("README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")))

# About, on a quiet machine.
SECONDS = {
    "docs/start.md": 40,
    "docs/services.md": 30,
    "README.md": 27,
    "docs/models.md": 25,
    "docs/pipelines.md": 25,
    "docs/operations/upgrades.md": 20,
    "docs/policies.md": 17,
    "docs/gateway.md": 15,
    "docs/up.md": 15,
    "docs/sidecar.md": 14,
    "docs/splits.md": 13,
    "docs/json.md": 11,
    "docs/operations/security.md": 11,
    "docs/comparison.md": 10,
    "docs/images.md": 8,
    "docs/reference/documents.md": 7,
}
USUAL = 6

# These do not begin with something to run: they list, compare, or are about machines that no test has.
REFERENCE = frozenset(
    {
        "docs/comparison.md",
        "docs/mistakes.md",
        "docs/performance.md",
        "docs/proven.md",
        *(name for name in PAGES if name.startswith(("docs/adr/", "docs/reference/"))),
    }
)


def group(number: int) -> list[str]:
    """The pages of a file, from 1: the longest go first, each to the file that has least so far."""
    loads: dict[int, float] = dict.fromkeys(range(1, FILES + 1), 0)
    chosen: dict[int, list[str]] = {each: [] for each in loads}
    for name in sorted(PAGES, key=lambda name: (-_seconds(name), name)):
        least = min(loads, key=lambda each: loads[each])
        loads[least] += _seconds(name)
        chosen[least].append(name)
    return chosen[number]


def _seconds(name: str) -> float:
    """0.1 for pages that are only read."""
    return SECONDS.get(name, USUAL if name not in REFERENCE else 0.1)


def of_group(number: int) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", group(number))


def run(name: str, folder: Path) -> None:
    """Run a page; what it did is printed, for pytest to show where it fails."""
    run_page(read_page(ROOT / name), folder / "home", print)
