"""docs/codegen.md says what is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from inferloom.cli.codegen.file_source import metadata_of
from inferloom.cli.up.documents import ModelSpec, VersionSpec
from inferloom.cli.up.hints_file import hinted
from inferloom.services.proto.hints import Hints
from inferloom.services.proto.lock import numbered
from inferloom.services.proto.model import model_face
from inferloom.services.proto.text import proto_text

PAGE = Path("docs/codegen.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}[^\n]*\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def text(tmp_path: Path) -> str:
    """The proto of iris.onnx with the page's hints."""
    model = tmp_path / "iris.onnx"
    model.write_bytes(Path("tests/data/models/iris.onnx").read_bytes())
    (tmp_path / "iris.service.yaml").write_text(blocks("yaml")[0])
    spec = hinted(ModelSpec("iris", {"1": VersionSpec(model)}))
    return proto_text(numbered(model_face(metadata_of(spec), Hints.from_json(spec.hints)))[0])


def test_the_protos_on_the_page_are_those_that_are_written(text: str) -> None:
    protos = blocks("proto")
    assert len(protos) == 2
    for proto in protos:
        assert proto.strip() in text


def test_the_python_on_the_page_uses_what_there_is() -> None:
    (code,) = blocks("python")
    compile(code, "docs/codegen.md", "exec")
    assert "from inferloom.models.iris.v1 import IrisClient\n" in code


def test_the_configuration_of_bufs_generator_is_the_one_that_is_tested() -> None:
    assert blocks("yaml")[1] == Path("tests/data/typescript/buf.gen.yaml").read_text()
