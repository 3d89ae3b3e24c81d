"""A hook of mkdocs: an entry of the navigation that names a folder stands for the pages in it, in their order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["on_config", "unfolded"]


def on_config(config: Any, **_: Any) -> Any:
    """Called by mkdocs with mkdocs.yml as it was read."""
    config.nav = unfolded(config.nav, Path(config.docs_dir))
    return config


def unfolded(nav: Any, docs: Path) -> Any:
    """The navigation with pages alone."""
    if isinstance(nav, list):
        return [unfolded(entry, docs) for entry in nav]
    if isinstance(nav, dict):
        return {title: unfolded(entry, docs) for title, entry in nav.items()}
    folder = docs / nav
    return sorted(str(page.relative_to(docs)) for page in folder.glob("*.md")) if folder.is_dir() else nav
