"""`inferloom codegen --from`: models' files, and what is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from inferloom.cli.codegen.command import Options, codegen
from inferloom.cli.codegen.file_source import metadata_of
from inferloom.cli.up.documents import ModelSpec, VersionSpec
from inferloom.mesh.errors import ConfigError, InvalidInput

MODELS = Path("tests/data/models")
IRIS = MODELS / "iris.onnx"
PROTO = "inferloom/models/iris/v1/iris.proto"
LOCK = "inferloom/models/iris/v1/iris.lock.json"


def config(folder: Path, text: str) -> Path:
    (folder / "1").mkdir(parents=True, exist_ok=True)
    (folder / "1" / "model.py").write_text("class TritonPythonModel: ...\n")
    (folder / "config.pbtxt").write_text(text)
    return folder


def tensor(name: str, datatype: str, dims: str) -> str:
    return f'[{{name: "{name}", data_type: TYPE_{datatype}, dims: [{dims}]}}]'


async def test_a_model_gets_its_proto_with_a_lock_and_what_it_imports(tmp_path: Path) -> None:
    assert await codegen(Options((), tmp_path, IRIS))
    written = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert written == ["buf.yaml", "google/api/annotations.proto", "google/api/http.proto", LOCK, PROTO]
    assert "package inferloom.models.iris.v1;" in (tmp_path / PROTO).read_text()


async def test_a_second_time_nothing_changes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await codegen(Options((), tmp_path, IRIS))
    capsys.readouterr()
    assert await codegen(Options((), tmp_path, IRIS))
    assert capsys.readouterr().out == f"{tmp_path}: nothing has changed\n"


async def test_check_writes_nothing_and_names_what_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await codegen(Options((), tmp_path, IRIS))
    assert await codegen(Options((), tmp_path, IRIS, check=True))
    (tmp_path / PROTO).write_text("edited")
    assert not await codegen(Options((), tmp_path, IRIS, check=True))
    assert capsys.readouterr().err == f"inferloom: {tmp_path / PROTO} is not what `inferloom codegen` writes\n"
    assert (tmp_path / PROTO).read_text() == "edited"


async def test_a_buf_yaml_of_the_owner_stays(tmp_path: Path) -> None:
    (tmp_path / "buf.yaml").write_text("version: v2\n")
    await codegen(Options((), tmp_path, IRIS))
    assert (tmp_path / "buf.yaml").read_text() == "version: v2\n"


async def test_a_change_that_breaks_stubs_is_refused_and_major_2_is_the_way_out(tmp_path: Path) -> None:
    model, out = tmp_path / "m", tmp_path / "out"
    config(model, f"input {tensor('x', 'FP32', '3')} output {tensor('y', 'FP32', '3')}")
    await codegen(Options((), out, model))
    before = {path: path.read_text() for path in out.rglob("*") if path.is_file()}
    config(model, f"input {tensor('x', 'INT64', '3')} output {tensor('y', 'FP32', '3')}")
    with pytest.raises(InvalidInput, match=r"PredictRequest.x was repeated float and is now repeated int64.*--major 2"):
        await codegen(Options((), out, model))
    assert {path: path.read_text() for path in out.rglob("*") if path.is_file()} == before
    await codegen(Options((), out, model, major=2))
    assert "package inferloom.models.m.v2;" in (out / "inferloom/models/m/v2/m.proto").read_text()
    await codegen(Options((), out, model))  # the newest is what is meant from now on
    with pytest.raises(InvalidInput, match=r"--major 4: the newest of 'm' is 2"):
        await codegen(Options((), out, model, major=4))


async def test_a_folder_gives_all_its_models_or_those_that_are_named(tmp_path: Path) -> None:
    for name in ("a", "b"):
        config(tmp_path / "models" / name, f"input {tensor('x', 'FP32', '3')} output {tensor('y', 'FP32', '3')}")
    await codegen(Options((), tmp_path / "all", tmp_path / "models"))
    assert sorted(path.stem for path in (tmp_path / "all").glob("inferloom/*/*/*/*.proto")) == ["a", "b"]
    await codegen(Options(("b",), tmp_path / "one", tmp_path / "models"))
    assert [path.stem for path in (tmp_path / "one").glob("inferloom/*/*/*/*.proto")] == ["b"]
    with pytest.raises(InvalidInput, match=r"has no model 'c'; it has a, b"):
        await codegen(Options(("c",), tmp_path / "one", tmp_path / "models"))


async def test_a_single_model_may_be_given_another_name(tmp_path: Path) -> None:
    await codegen(Options(("flowers",), tmp_path, IRIS))
    assert (tmp_path / "inferloom/models/flowers/v1/flowers.proto").exists()


async def test_escaped_names_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await codegen(Options(("my-class",), tmp_path, IRIS))
    told = "inferloom: warning: my-class: the name 'my-class' is called 'my_class' in the proto\n"
    assert capsys.readouterr().err == told


async def test_a_file_whose_types_only_loading_tells_names_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"known only when it is loaded: serve it with `inferloom up`, then"):
        await codegen(Options((), tmp_path, MODELS / "logistic.joblib"))


async def test_only_python_has_a_client(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--client go: there is python; others are made from the proto"):
        await codegen(Options((), tmp_path, IRIS, client="go"))


def test_a_configuration_tells_types_batching_optional_inputs_and_streams(tmp_path: Path) -> None:
    text = """
      max_batch_size: 16
      input [{name: "x", data_type: TYPE_STRING, dims: [2]}, {name: "o", data_type: TYPE_BF16, dims: [1], optional: true}]
      output [{name: "y", data_type: TYPE_FP16, dims: [-1]}]
      model_transaction_policy { decoupled: true }
    """
    found = metadata_of(ModelSpec("m", {"1": VersionSpec(config(tmp_path / "m", text))}))
    assert str(found) == "m takes x BYTES [-1,2], o BF16 [-1,1] (optional); gives y FP16 [-1,-1]"
    assert (found.max_batch_size, found.decoupled) == (16, True)
