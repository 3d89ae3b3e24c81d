"""What a file declares, from the answer of the process that was asked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from inferloom.cli.up.describe import may_be_app, read
from inferloom.mesh.errors import ConfigError, InvalidInput

IRIS = Path(__file__).parents[3] / "data/models/iris.onnx"


def test_an_answer_becomes_documents(tmp_path: Path) -> None:
    shutil.copyfile(IRIS, tmp_path / "iris.onnx")
    answer = {
        "services": {"A": {"replicas": 2, "cpus": 1, "gpus": 0, "env": {"X": "1"}, "version": "3", "methods": ["A"]}},
        "models": {"iris": {"source": "iris.onnx", "version": ""}, "other": {"source": "", "version": ""}},
        "pipelines": {"p": {"name": "p", "nodes": []}},
        "errors": [],
    }
    found = read(tmp_path / "app.py", json.dumps(answer))
    version = found.services["A"].versions["3"]
    assert (version.source, version.replicas, version.cpus, version.env) == (tmp_path / "app.py", 2, 1, {"X": "1"})
    assert {name: list(model.versions) for name, model in found.models.items()} == {"iris": ["1"]}
    assert found.pipelines == {"p": {"nodes": []}}


def test_a_mistake_in_a_pipeline_is_raised() -> None:
    with pytest.raises(InvalidInput, match=r"^app.py:3: no$"):
        read(Path("/a/app.py"), json.dumps({"errors": ["app.py:3: no"]}))


def test_a_models_file_that_is_none_names_the_handle() -> None:
    with pytest.raises(ConfigError, match=r"app\.py: model\('iris', source='gone\.onnx'\): there is no file"):
        read(Path("/a/app.py"), json.dumps({"models": {"iris": {"source": "gone.onnx"}}}))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("from inferloom.sdk import service", True),
        ("from inferloom.sdk import MeshClient, pipeline", True),
        ("from inferloom import sdk", True),
        ("import inferloom.sdk as il", True),
        ("def f():\n    from inferloom.sdk import step", True),
        ("from inferloom.sdk import MeshClient", False),
        ("import numpy", False),
        ("def (", False),
        ("", False),
    ],
)
def test_only_what_looks_like_an_app_is_run(tmp_path: Path, text: str, expected: bool) -> None:
    (tmp_path / "a.py").write_text(text)
    assert may_be_app(tmp_path / "a.py") is expected
