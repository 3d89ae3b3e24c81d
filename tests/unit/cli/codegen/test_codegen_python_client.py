from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest

from inferloom.cli.codegen.command import Options, codegen
from inferloom.cli.codegen.python_client import client_files
from inferloom.clients.metadata import ModelMetadata, TensorSpec
from inferloom.mesh.errors import ConfigError
from inferloom.services.answerer import Description
from inferloom.services.proto.lock import at_major, numbered
from inferloom.services.proto.model import model_face
from inferloom.services.proto.schema import service_face

IRIS = Path("tests/data/models/iris.onnx")
FOLDER = "python/inferloom-models-iris"
MODULE = f"{FOLDER}/src/inferloom/models/iris/v1"


async def test_a_package_that_needs_grpcio_and_protobuf_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await codegen(Options((), tmp_path, IRIS, client="python"))
    assert f"wrote {tmp_path / FOLDER}\n" in capsys.readouterr().out
    project = tomllib.loads((tmp_path / FOLDER / "pyproject.toml").read_text())["project"]
    assert (project["name"], project["version"]) == ("inferloom-models-iris", "1.1.0")
    assert [need.partition(">=")[0] for need in project["dependencies"]] == ["grpcio", "protobuf"]
    found = sorted(path.name for path in (tmp_path / MODULE).iterdir())
    stubs = ["iris_pb2.py", "iris_pb2.pyi", "iris_pb2_grpc.py"]
    assert found == ["__init__.py", "arrays.py", "client.py", *stubs, "numpy_helpers.py", "py.typed"]
    assert "google.api" not in "".join(path.read_text() for path in (tmp_path / MODULE).iterdir())


def test_what_is_written_is_python_for_every_kind_of_face() -> None:
    spec = TensorSpec("x", "FP32", (-1, 2), True)
    rows = ModelMetadata("m", ("1",), "", (spec,), (TensorSpec("count", "BYTES", (-1, 1)),), 8)
    streams = ModelMetadata("m", ("1",), "", (spec,), (), 0, True)
    empty = Description("", {"type": "object", "properties": {}}, {}, False)
    made = [model_face(rows), model_face(streams), at_major(model_face(rows), 2), service_face("s", empty, "/v1/s")]
    roots = set()
    for face in made:
        files = client_files(*numbered(face))
        roots |= {"/".join(name.split("/")[:2]) for name in files}
        for name, text in files.items():
            if name.endswith((".py", ".pyi")):
                compile(text, name, "exec")
    assert roots == {"python/inferloom-models-m", "python/inferloom-models-m-v2", "python/inferloom-models-s"}


def test_without_protoc_the_way_to_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "grpc_tools", None)
    face, lock = numbered(model_face(ModelMetadata("m", ("1",), "", (), (), 0)))
    with pytest.raises(ConfigError, match=r"--client python needs protoc: pip install 'inferloom\[codegen\]'"):
        client_files(face, lock)
