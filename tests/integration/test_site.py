"""The documentation site, as `make site` builds it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from reference.decisions import unfolded

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
LOADED = {  # elements whose address a browser asks by itself, and where it stands
    "script": "src",
    "link": "href",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "object": "data",
    "embed": "src",
    "form": "action",
}
FOREIGN = re.compile(r"^\s*(?:[a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "site"
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert built.returncode == 0, built.stderr
    assert "WARNING" not in built.stderr
    return folder


class Asked(HTMLParser):
    """Collects what a page makes a browser load from another host."""

    def __init__(self) -> None:
        super().__init__()
        self.foreign: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        address = found.get(LOADED.get(tag, "")) or ""
        if FOREIGN.match(address) or FOREIGN.search(found.get("srcset") or ""):
            self.foreign.append(f"{tag} {address}")


def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > len(list(DOCS.rglob("*.md")))  # and a page for what is not found
    for page in pages:
        asked = Asked()
        asked.feed(page.read_text())
        assert not asked.foreign, page.relative_to(site)


def test_no_style_loads_anything_from_another_host(site: Path) -> None:
    styles = sorted(site.rglob("*.css"))
    assert styles
    for style in styles:
        assert not re.search(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", style.read_text()), style.name


def test_every_page_is_in_the_navigation_once(site: Path) -> None:
    config = re.sub(r"!!python/\S+.*", "null", (ROOT / "mkdocs.yml").read_text())
    listed = paths(unfolded(yaml.safe_load(config)["nav"], DOCS))
    assert sorted(listed) == sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))
    assert all((site / path).with_suffix(".html").is_file() for path in listed)


def test_the_search_knows_the_reference(site: Path) -> None:
    index = (site / "search" / "search_index.json").read_text()
    assert "reference/commands.html#inferloom-up" in index
    assert "reference/documents.html#policy" in index


def test_a_list_or_table_that_github_shows_is_one_on_the_site_too(site: Path) -> None:
    for path in sorted(site.rglob("*.html")):
        for paragraph in re.findall(r"<p>(.*?)</p>", path.read_text(), re.DOTALL):
            assert not re.search(r"^\s*(?:[-*|]|\d+\.) ", paragraph, re.MULTILINE), (path.name, paragraph)


def test_no_mark_is_shown_and_what_was_not_run_says_so(site: Path) -> None:
    page = (site / "reference" / "helm.html").read_text()
    assert '<p class="needs">Needs a cluster: not run by the tests.</p>' in page
    for path in site.rglob("*.html"):
        assert not re.search(r"&lt;!-- (?:needs|given|fails|fragment|tested)", path.read_text()), path.name


def paths(nav: Any) -> list[str]:
    """The pages of a navigation, however deep."""
    if isinstance(nav, str):
        return [nav]
    inner = nav.values() if isinstance(nav, dict) else nav
    return [path for each in inner for path in paths(each)]
