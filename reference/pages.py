"""The pages of docs/reference by name of their file."""

from __future__ import annotations

from pathlib import Path

from reference import commands, documents, environment, helm, index, protocol, python_api

__all__ = ["FOLDER", "pages"]

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "reference"


def pages() -> dict[str, str]:
    """Markdown of each page, ending in one line break.

    Raises:
        Undescribed: something has no description.
    """
    made = {
        "index.md": index.page(),
        "commands.md": commands.page(),
        "documents.md": documents.page(),
        "python.md": python_api.page(),
        "protocol.md": protocol.page(),
        "environment.md": environment.page(),
        "helm.md": helm.page(),
    }
    return {name: text.rstrip("\n") + "\n" for name, text in made.items()}
