"""The pipeline that begins docs/pipelines.md, as Python and as YAML, is one document; the runner of pages does the rest."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from inferloom.services.composer.graph import graph_from, spec_of
from inferloom.services.composer.trace import trace
from tests.docs.page import read_page

PAGE = read_page(Path(__file__).parents[4] / "docs" / "pipelines.md")
FILES = {block.title: block.text for block in PAGE.blocks if block.title}


@pytest.fixture
def app(tmp_path: Path) -> ModuleType:
    file = tmp_path / "app.py"
    file.write_text(FILES["app.py"])
    spec = importlib.util.spec_from_file_location("app", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_python_and_yaml_are_the_same_document(app: ModuleType) -> None:
    written = yaml.safe_load(FILES["digits.yaml"])
    made = spec_of(trace(app.digits.declaration))
    assert made.pop("types") == "app:digits"
    assert spec_of(graph_from(written["spec"], written["name"])) == made
