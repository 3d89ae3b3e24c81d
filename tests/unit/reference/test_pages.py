"""docs/reference is what the code says, and nothing in it is without words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from inferloom.cli.main import app, main
from inferloom.cli.up.located import read
from inferloom.cli.up.meshfile_hosted import app as read_app
from inferloom.mesh.errors import ConfigError
from reference import commands, documents, environment, environment_table, python_api
from reference.markdown import Undescribed, table
from reference.meanings import MEANINGS, Meaning
from reference.pages import FOLDER, pages

ROOT = Path(__file__).parents[3]


def test_the_pages_are_what_the_code_says() -> None:
    written = {path.name: path.read_text() for path in FOLDER.glob("*.md")}
    made = pages()
    assert written.keys() == made.keys(), "run: make reference"
    for name, text in made.items():
        assert written[name] == text, f"{name}: run: make reference"


def test_every_command_that_can_be_run_has_its_options_on_the_page() -> None:
    page = commands.page()
    found = dict(commands.commands(typer.main.get_command(app)))
    assert {(), ("up",), ("control",), ("control", "status"), ("triton", "install")} <= found.keys()
    for path, command in found.items():
        section = page.partition(f"## {' '.join(('inferloom', *path))}\n")[2].partition("\n## ")[0]
        for option in (option for each in command.params for option in each.opts if option.startswith("-")):
            assert f"`{option}`" in section, (path, option)


def test_the_exit_statuses_are_those_that_the_entry_point_tells() -> None:
    assert list(commands.codes()) == ["0", "1", "2", "3", "130"]
    assert all(meaning in " ".join((main.__doc__ or "").split()) for meaning in list(commands.codes().values())[:-1])


def test_every_variable_of_ours_in_the_source_has_a_row() -> None:
    listed = {name for rows in environment_table.GROUPS.values() for name in rows}
    named: set[str] = set()
    for folder in environment.SOURCES:
        for path in (ROOT / folder).rglob("*.py"):
            named |= set(re.findall(r"\bINFERLOOM_[A-Z_]+\b", path.read_text()))
    set_by_images = {"INFERLOOM_REVISION"}  # told to whoever looks into an image; nothing reads it
    assert named - listed == set_by_images


def test_a_variable_is_found_however_the_code_asks_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mesh").mkdir()
    (tmp_path / "mesh" / "some.py").write_text(
        'import os\nNAME = "INFERLOOM_A"\nos.environ["B"]\nenviron.get("C")\nos.getenv("D")\nother.get("E")\n'
    )
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    environment.read_by_the_code.cache_clear()
    try:
        assert environment.read_by_the_code().keys() == {"INFERLOOM_A", "B", "C", "D"}
        with pytest.raises(Undescribed, match="B, C, D, INFERLOOM_A has no row"):
            environment.page()
    finally:
        environment.read_by_the_code.cache_clear()


def test_a_field_without_words_is_no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = {**MEANINGS, "mesh": {**MEANINGS["mesh"], "grpc": Meaning("text", " ")}}
    monkeypatch.setattr(documents, "MEANINGS", silent)
    with pytest.raises(Undescribed, match="mesh: grpc has no description"):
        documents.page()


def test_words_for_a_field_that_there_is_not_are_no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    stale = {**MEANINGS, "mesh": {**MEANINGS["mesh"], "port": Meaning("text", "Gone.")}}
    monkeypatch.setattr(documents, "MEANINGS", stale)
    with pytest.raises(Undescribed, match="the code knows no port"):
        documents.page()


def test_an_app_takes_the_keys_that_the_page_names(tmp_path: Path) -> None:
    file = tmp_path / "app.yaml"
    file.write_text("sauce: app.py\n")
    with pytest.raises(ConfigError, match="did you mean 'source'"):
        read_app("shop", read(file)[0], tmp_path)
    file.write_text("xyz: app.py\n")
    with pytest.raises(ConfigError, match=rf"known are {', '.join(documents.KEYS['app'][0])}$"):
        read_app("shop", read(file)[0], tmp_path)


def test_what_the_sdk_exports_is_on_the_page() -> None:
    page = python_api.page()
    assert "async MeshClient.infer(\n    model: str,\n    inputs: Any,\n    *,\n" in page
    assert "service(\n    target: Any = None,\n    /,\n    *,\n" in page
    assert "| `tls`, `ca`, `cert`, `key`, `server_name` |" in page


def test_a_table_survives_pipes_and_angle_brackets_and_leaves_empty_columns_out() -> None:
    made = table(("a", "b", "c"), [("`x|y`", "", "<p> | `<q>`"), ("", "", "z")])
    assert made == "| a | c |\n|---|---|\n| <code>x&#124;y</code> | &lt;p> &#124; `<q>` |\n| | z |\n"
