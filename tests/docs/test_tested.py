"""What `tested:` asks of the test that is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs import tested
from tests.docs.marks import Mark, PageError
from tests.docs.page import Block

TEST = '''
"""Runs `make all that`."""


def test_it(home):
    """And `make everything`."""
    with home.up("iris.onnx", "--replicas",
                 "2"):
        run("make", folder)  # make nothing
        run("lint")
        home.shell("helm lint chart --strict")
'''


def check(command: str, name: str, text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / name).write_text(text)
    monkeypatch.setattr(tested, "ROOT", folder)
    tested.check_tested(Path("page.md"), Block("sh", "", command, 3, (Mark("tested", name, 2),)))


@pytest.mark.parametrize("command", ["inferloom up iris.onnx --replicas 2", "helm lint chart", "make folder"])
def test_a_command_is_in_a_statement_or_a_text(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check(command, "test_some.py", TEST, tmp_path, monkeypatch)


@pytest.mark.parametrize(
    "command",
    ["make lint", "inferloom up iris", "make all", "make everything", "make nothing", "lint helm", "inferloom"],
    ids=["in two statements", "part of a word", "docstring", "another", "comment", "order", "no words"],
)
def test_words_here_and_there_are_no_command(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PageError, match=rf"^page.md:3: tested: test_some.py does not have `{command}`$"):
        check(command, "test_some.py", TEST, tmp_path, monkeypatch)


def test_a_script_has_it_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check("make test", "run", "make lint\nmake test\n", tmp_path, monkeypatch)
    with pytest.raises(PageError):
        check("make test", "run", "make\ntest\n", tmp_path, monkeypatch)
