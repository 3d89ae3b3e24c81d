"""What holds of every page, without running it."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from tests.docs.commands import commands
from tests.docs.page import read_page
from tests.docs.pages import FILES, PAGES, REFERENCE, ROOT, SECONDS, group

TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_every_page_is_run_by_exactly_one_file() -> None:
    files = sorted((ROOT / "tests" / "docs").glob("test_pages_*.py"))
    assert [file.stem for file in files] == [f"test_pages_{number}" for number in range(1, FILES + 1)]
    assert [re.findall(r"of_group\((\d+)\)", file.read_text()) for file in files] == [["1"], ["2"], ["3"], ["4"]]
    assert Counter(name for number in range(1, FILES + 1) for name in group(number)) == Counter(PAGES)


def test_pages_whose_time_is_known_are_there() -> None:
    assert set(PAGES) >= set(SECONDS)


def test_what_need_not_begin_with_something_to_run_is_a_page() -> None:
    assert set(PAGES) >= REFERENCE


@pytest.mark.parametrize("name", PAGES)
def test_every_mark_is_a_known_word_and_every_block_is_in_a_language_that_is_used(name: str) -> None:
    read_page(ROOT / name)


@pytest.mark.parametrize("name", sorted({*PAGES} - REFERENCE))
def test_a_guide_begins_with_something_that_is_run(name: str) -> None:
    blocks = (block for block in read_page(ROOT / name).blocks if "pip install" not in block.text)
    first = next(blocks)
    assert first.runs, f"{name}:{first.line}: the first block is not run"


@pytest.mark.parametrize("name", PAGES)
def test_a_link_leads_to_a_file_that_is_there_and_in_the_site_to_one_that_the_site_has(name: str) -> None:
    path, docs = ROOT / name, ROOT / "docs"
    inside = docs if path.is_relative_to(docs) else ROOT
    links = read_page(path).links
    assert [link for link in links if not (path.parent / link).exists()] == []
    assert [link for link in links if not (path.parent / link).resolve().is_relative_to(inside)] == []


@pytest.mark.parametrize("name", PAGES)
def test_what_a_page_has_made_is_a_target_of_the_makefile(name: str) -> None:
    blocks = [block for block in read_page(ROOT / name).blocks if block.kind == "sh"]
    words = [command.words for block in blocks for command in commands(block.text, block.line)]
    made = {each[1] for each in words if each[:1] == ["make"] and len(each) > 1}
    assert made <= TARGETS
