"""What the site makes of the marks that tell the tests what to do with a block."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from mkdocs.exceptions import PluginError

from reference.decisions import unfolded
from reference.marks import MARKS, NEEDS, on_page_markdown, shown
from tests.docs import marks


def test_a_need_becomes_a_line_and_the_other_marks_go() -> None:
    page = (
        "Text.\n<!-- given: iris.onnx -->\n<!-- needs: package index -->\n```sh\npip install x\n```\n<!-- fails -->\n"
    )
    line = "Needs a package index: not run by the tests.\n{: .needs }"
    assert shown(page) == f"Text.\n\n\n{line}\n\n```sh\npip install x\n```\n\n"


def test_a_mark_in_a_block_and_any_other_comment_stay() -> None:
    page = "````md\n```sh\n<!-- needs: gpu -->\n```\n````\n<!-- a word to editors -->\n"
    assert shown(page) == page


def test_a_mark_in_a_list_keeps_its_indent() -> None:
    assert "\n    Needs a GPU: not run by the tests.\n    {: .needs }\n" in shown("- x\n\n    <!-- needs: gpu -->\n")


def test_a_link_called_like_a_file_is_called_like_the_page() -> None:
    page = "See [up.md](up.md#ports), [data-planes.md](data-planes.md).\n```sh\n[up.md](up.md)\n```\n"
    assert shown(page) == "See [up](up.md#ports), [data-planes](data-planes.md).\n```sh\n[up.md](up.md)\n```\n"


def test_a_folder_in_the_navigation_stands_for_its_pages_in_order(tmp_path: Path) -> None:
    (tmp_path / "adr").mkdir()
    for name in ("adr/0002-b.md", "adr/0001-a.md", "adr/note.txt", "up.md"):
        (tmp_path / name).touch()
    nav = ["up.md", {"About": [{"Decisions": "adr/"}]}]
    assert unfolded(nav, tmp_path) == ["up.md", {"About": [{"Decisions": ["adr/0001-a.md", "adr/0002-b.md"]}]}]


def test_marks_may_share_a_line() -> None:
    assert "Needs Go: not run by the tests." in shown("<!-- given: iris.onnx --> <!-- needs: go -->\n")


def test_the_site_knows_the_marks_that_the_tests_know() -> None:
    assert MARKS == marks.WITH_TEXT | marks.ALONE
    assert NEEDS.keys() == marks.NEEDS


def test_a_need_that_nobody_knows_is_refused_with_the_page() -> None:
    page = SimpleNamespace(file=SimpleNamespace(src_uri="up.md"))
    with pytest.raises(PluginError, match=r"up\.md: a block needs 'moon', which is none of cluster, gpu"):
        on_page_markdown("<!-- needs: moon -->", page=page)
