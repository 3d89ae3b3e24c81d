from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from inferloom.cli.up.declared import declared, split_name
from inferloom.cli.up.describe import AppDescription
from inferloom.cli.up.documents import ModelSpec, VersionSpec
from inferloom.cli.up.service_spec import ServiceSpec, ServiceVersion
from inferloom.mesh.errors import ConfigError, InvalidInput

MODELS = Path(__file__).parents[3] / "data/models"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copyfile(MODELS / "iris.onnx", tmp_path / "iris.onnx")
    return tmp_path


async def test_a_file_is_one_model_of_its_own_name(folder: Path) -> None:
    found = await declared(folder / "iris.onnx", replicas=3, gpus=1)
    (spec,) = found.models
    assert (spec.name, spec.replicas, spec.gpus, found.folder) == ("iris", 3, 1, None)
    assert spec.versions["1"].source == (folder / "iris.onnx").resolve()


async def test_or_of_the_name_and_version_it_is_given(folder: Path) -> None:
    (spec,) = (await declared(folder / "iris.onnx", name="flowers:7")).models
    assert (spec.name, list(spec.versions)) == ("flowers", ["7"])


async def test_a_folder_of_files_is_a_model_each_and_says_what_it_left_out(folder: Path) -> None:
    shutil.copyfile(MODELS / "fixed.onnx", folder / "fixed.onnx")
    (folder / "README").write_text("x")
    (folder / ".hidden.onnx").write_bytes(b"x")
    found = await declared(folder)
    assert sorted(spec.name for spec in found.models) == ["fixed", "iris"]
    assert found.notes == ("left out, no models: README",)


async def test_a_folder_with_a_mesh_yaml_is_what_that_says(folder: Path) -> None:
    (folder / "mesh.yaml").write_text("- {kind: model, name: a, spec: {source: iris.onnx}}\n")
    for source in (folder, folder / "mesh.yaml"):
        found = await declared(source, replicas=2)
        assert [(spec.name, spec.replicas) for spec in found.models] == [("a", 2)]
        assert found.folder == folder
    with pytest.raises(ConfigError, match="--as is for a single file"):
        await declared(folder, name="b")


async def test_a_folder_without_anything_to_serve_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"has no mesh.yaml and no model file"):
        await declared(tmp_path)


async def test_a_missing_file_is_named(folder: Path) -> None:
    with pytest.raises(InvalidInput, match=r"irs\.onnx"):
        await declared(folder / "irs.onnx")


@pytest.mark.parametrize(
    ("text", "expected"), [("iris", ("iris", "")), ("iris:2", ("iris", "2")), ("iris:02", ("iris", "2"))]
)
def test_a_name_may_have_a_version(text: str, expected: tuple[str, str]) -> None:
    assert split_name(text) == expected


@pytest.mark.parametrize("text", ["iris:0", "iris:x", "iris:-1", "iris:1:2", "iris:²", "a b:1", ":1", "..:1"])
def test_what_is_no_name_with_a_version_is_invalid(text: str) -> None:
    with pytest.raises(InvalidInput):
        split_name(text)


APP = """
from inferloom.sdk import service

@service
class Read:
    async def predict(self, text: str) -> str:
        return text
"""
CLIENT = "from inferloom.sdk import SyncMeshClient\nSyncMeshClient().infer('iris', {})\n"
PLAIN = "class Plain:\n    def predict(self, x):\n        return x\n"


class Asked:
    """Stands for `inferloom host --describe`."""

    def __init__(self) -> None:
        self.paths: list[Path] = []

    async def __call__(self, path: Path) -> AppDescription:
        self.paths.append(path)
        read = ServiceSpec("Read", {"1": ServiceVersion(path.resolve())})
        model = ModelSpec("iris", {"1": VersionSpec((path.parent / "iris.onnx").resolve())})
        return AppDescription(path.resolve(), {"Read": read}, {"iris": model}, {"both": {"nodes": []}})


async def test_a_python_file_with_declarations_is_all_that_it_declares(folder: Path) -> None:
    (folder / "app.py").write_text(APP)
    found = await declared(folder / "app.py", replicas=2, ask=Asked())
    documents = found.documents("here/1")
    assert sorted(documents) == [("app", "app"), ("model", "iris"), ("pipeline", "both"), ("service", "Read")]
    assert documents["model", "iris"]["replicas"] == 2
    assert documents["service", "Read"]["host"] == "here/1"


async def test_a_plain_model_class_is_never_asked_what_it_declares(folder: Path) -> None:
    asked = Asked()
    (folder / "plain.py").write_text(PLAIN)
    found = await declared(folder / "plain.py", ask=asked)
    assert [spec.name for spec in found.models] == ["plain"]
    assert asked.paths == []


async def test_options_of_model_files_are_refused_for_services(folder: Path) -> None:
    (folder / "app.py").write_text(APP)
    for options, named in (({"name": "a"}, "--as"), ({"gpus": 1}, "--gpus"), ({"inputs": ("x:FP32[1]",)}, "--input")):
        with pytest.raises(ConfigError, match=f"^{named} is for a model file; .*app.py declares its services itself$"):
            await declared(folder / "app.py", ask=Asked(), **options)


async def test_a_file_that_uses_inferloom_and_declares_nothing_says_so(folder: Path) -> None:
    async def nothing(path: Path) -> AppDescription:
        return AppDescription(path)

    (folder / "app.py").write_text("from inferloom.sdk import service\n")
    with pytest.raises(InvalidInput, match="declares no @service and no @pipeline, and is no model either"):
        await declared(folder / "app.py", ask=nothing)


async def test_a_folder_of_files_has_its_services_too_and_runs_no_other_python(folder: Path) -> None:
    asked = Asked()
    for name, text in (("app.py", APP), ("client.py", CLIENT), ("plain.py", PLAIN)):
        (folder / name).write_text(text)
    found = await declared(folder, ask=asked)
    assert [path.name for path in asked.paths] == ["app.py"]
    assert found.notes == ("left out, no models: client.py",)
    names = sorted(name for kind, name in found.documents("here/1") if kind != "app")
    assert names == ["Read", "both", "iris", "plain"]  # iris.onnx is the app's own
