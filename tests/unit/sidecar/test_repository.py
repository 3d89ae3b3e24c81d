"""Placing, removing and scanning models."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from inferloom.mesh.errors import InvalidInput
from inferloom.sidecar.modelfile import TensorType
from inferloom.sidecar.repository import place, remove, scan
from tests.support.models import DATA


def config_of(repository: Path, name: str) -> Any:
    return text_format.Parse((repository / name / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())


def files_of(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def folder_with(tmp_path: Path, config: str | None, version: str = "1") -> Path:
    folder = tmp_path / "source"
    (folder / version).mkdir(parents=True)
    (folder / version / "model.onnx").write_bytes((DATA / "iris.onnx").read_bytes())
    if config is not None:
        (folder / "config.pbtxt").write_text(config)
    return folder


@pytest.mark.parametrize(
    ("file", "backend", "files"),
    [
        ("iris.onnx", "onnxruntime", ["model.onnx"]),
        ("external.onnx", "onnxruntime", ["external.data", "model.onnx"]),
        ("classes.json", "fil", ["xgboost.json"]),
        ("classes.bst", "fil", ["xgboost.ubj"]),
        ("linear.pt2", "python", ["inferloom_backend.py", "model.pt2", "model.py"]),
        ("tree.pkl", "python", ["inferloom_backend.py", "model.pkl", "model.py"]),
        ("compressed.joblib", "python", ["inferloom_backend.py", "model.joblib", "model.py"]),
    ],
)
def test_a_file_gets_the_layout_that_tritons_container_knows(
    tmp_path: Path, file: str, backend: str, files: list[str]
) -> None:
    assert place(DATA / file, tmp_path, "m") == ("1",)
    assert files_of(tmp_path / "m" / "1") == files
    config = config_of(tmp_path, "m")
    assert (config.name, config.backend) == ("m", backend)
    assert config.version_policy.HasField("all")
    assert [(group.count, group.kind) for group in config.instance_group] == [
        (1, model_config_pb2.ModelInstanceGroup.KIND_CPU)
    ]


@pytest.mark.parametrize(("file", "batched"), [("iris.onnx", True), ("fixed.onnx", False), ("classes.json", True)])
def test_batching_is_set_where_it_is_possible(tmp_path: Path, file: str, batched: bool) -> None:
    place(DATA / file, tmp_path, "m")
    config = config_of(tmp_path, "m")
    assert config.HasField("dynamic_batching") is batched
    assert (config.max_batch_size > 0) is batched


def test_a_model_without_a_batch_has_its_tensors_written_down(tmp_path: Path) -> None:
    place(DATA / "fixed.onnx", tmp_path, "m")
    assert [list(one.dims) for one in config_of(tmp_path, "m").input] == [[1, 3]]


def test_xgboost_gets_what_the_fil_backend_wants(tmp_path: Path) -> None:
    place(DATA / "classes.ubj", tmp_path, "m")
    config = config_of(tmp_path, "m")
    assert {key: value.string_value for key, value in config.parameters.items()} == {
        "model_type": "xgboost_ubj",
        "output_class": "true",
        "is_classifier": "true",
        "predict_proba": "true",
        "threshold": "0.5",
    }
    assert [(one.name, list(one.dims)) for one in (*config.input, *config.output)] == [
        ("input__0", [4]),
        ("output__0", [3]),
    ]


def test_gpus_ask_for_instances_on_the_gpu(tmp_path: Path) -> None:
    place(DATA / "iris.onnx", tmp_path, "m", gpus=1)
    assert config_of(tmp_path, "m").instance_group[0].kind == model_config_pb2.ModelInstanceGroup.KIND_GPU


def test_torchscript_without_types_is_refused_with_both_ways_out(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"torch\.export\.save.*--input x:FP32\[-1,4\] --output y:FP32\[-1,2\]"):
        place(DATA / "linear.pt", tmp_path, "m")
    assert scan(tmp_path) == {}


def test_torchscript_with_types_has_them_in_its_configuration(tmp_path: Path) -> None:
    outputs = [TensorType.parse("y:FP32[-1,2]"), TensorType.parse("total:FP32[-1]")]
    place(DATA / "linear.pt", tmp_path, "m", inputs=[TensorType.parse("x:FP32[-1,4]")], outputs=outputs)
    config = config_of(tmp_path, "m")
    assert [list(one.dims) for one in (*config.input, *config.output)] == [[4], [2], [1]]
    assert [one.HasField("reshape") for one in config.output] == [False, True]
    assert config.HasField("dynamic_batching")


def test_a_class_without_types_is_refused_with_the_attribute_to_write(tmp_path: Path) -> None:
    source = tmp_path / "a.py"
    source.write_text("class A:\n    def predict(self, x): ...\n")
    with pytest.raises(InvalidInput, match=r'inputs = \{"x": "FP32\[-1,4\]"\}, or --input x:FP32\[-1,4\]'):
        place(source, tmp_path / "repository", "m")


def test_an_owners_configuration_is_completed_and_keeps_its_comments(tmp_path: Path) -> None:
    own = '# mine\nbackend: "onnxruntime"\nmax_batch_size: 8 # small\ninstance_group { count: 3 kind: KIND_CPU }\n'
    place(folder_with(tmp_path, own), tmp_path / "repository", "m")
    text = (tmp_path / "repository" / "m" / "config.pbtxt").read_text()
    assert text.startswith(own.rstrip())
    config = config_of(tmp_path / "repository", "m")
    assert (config.max_batch_size, config.instance_group[0].count) == (8, 3)
    assert config.HasField("dynamic_batching")
    assert config.version_policy.HasField("all")


def test_a_complete_configuration_is_not_touched(tmp_path: Path) -> None:
    own = (
        'name: "m"\nbackend: "onnxruntime"\nversion_policy { all {} }\nmax_batch_size: 8\ndynamic_batching {}\n'
        "instance_group { count: 1 }\n"
    )
    place(folder_with(tmp_path, own), tmp_path / "repository", "m")
    assert (tmp_path / "repository" / "m" / "config.pbtxt").read_text() == own


@pytest.mark.parametrize("policy", ["latest { num_versions: 2 }", "specific { versions: 1 }"])
def test_a_policy_that_would_unload_versions_is_replaced(tmp_path: Path, policy: str) -> None:
    own = f'name: "other"\nbackend: "onnxruntime"\nversion_policy {{ {policy} }}\n'
    place(folder_with(tmp_path, own), tmp_path / "repository", "m")
    config = config_of(tmp_path / "repository", "m")
    assert config.version_policy.HasField("all")
    assert config.name == "m"


def test_a_configuration_that_cannot_be_read_is_told_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"config\.pbtxt': line 2:"):
        place(folder_with(tmp_path, 'backend: "onnxruntime"\nmax_batch: 8\n'), tmp_path / "repository", "m")


def test_a_folder_brings_all_its_versions_or_the_one_that_is_asked_for(tmp_path: Path) -> None:
    source = folder_with(tmp_path, None, "1")
    (source / "4").mkdir()
    (source / "4" / "model.onnx").write_bytes((DATA / "vector.onnx").read_bytes())
    assert place(source, tmp_path / "all", "m") == ("1", "4")
    assert place(source, tmp_path / "one", "m", "4") == ("4",)
    with pytest.raises(InvalidInput, match="has no version 3; it has 1, 4"):
        place(source, tmp_path / "none", "m", "3")


def test_a_folder_with_one_version_takes_the_number_it_is_given(tmp_path: Path) -> None:
    assert place(folder_with(tmp_path, None), tmp_path / "repository", "m", "7") == ("7",)
    assert scan(tmp_path / "repository")["m"].versions == ("7",)


def test_a_second_version_leaves_the_first_and_the_configuration_as_they_are(tmp_path: Path) -> None:
    place(DATA / "iris.onnx", tmp_path, "m")
    before = (tmp_path / "m" / "config.pbtxt").stat()
    place(DATA / "iris.onnx", tmp_path, "m", "2")
    after = (tmp_path / "m" / "config.pbtxt").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert scan(tmp_path)["m"].versions == ("1", "2")


def test_a_version_of_another_backend_is_refused(tmp_path: Path) -> None:
    place(DATA / "iris.onnx", tmp_path, "m")
    with pytest.raises(InvalidInput, match=r"is for backend 'onnxruntime', and XGBoost .* needs 'fil'"):
        place(DATA / "classes.json", tmp_path, "m", "2")
    assert scan(tmp_path)["m"].versions == ("1",)


def test_a_version_in_another_format_of_xgboost_is_refused(tmp_path: Path) -> None:
    place(DATA / "classes.json", tmp_path, "m")
    with pytest.raises(InvalidInput, match=r"says model_type xgboost_json, and .* is xgboost_ubj"):
        place(DATA / "classes.ubj", tmp_path, "m", "2")


def test_the_same_file_again_changes_nothing(tmp_path: Path) -> None:
    place(DATA / "tree.pkl", tmp_path, "m")
    before = scan(tmp_path)
    place(DATA / "tree.pkl", tmp_path, "m")
    assert scan(tmp_path) == before


def test_another_file_under_the_same_version_is_refused_unless_it_shall_replace(tmp_path: Path) -> None:
    place(DATA / "iris.onnx", tmp_path, "m")
    with pytest.raises(
        InvalidInput, match=r"has a version 1 with other content; add this one as m:2, or remove m:1 first"
    ):
        place(DATA / "vector.onnx", tmp_path, "m")
    before = scan(tmp_path)["m"].fingerprint
    place(DATA / "vector.onnx", tmp_path, "m", replace=True)
    assert (tmp_path / "m" / "1" / "model.onnx").read_bytes() == (DATA / "vector.onnx").read_bytes()
    assert scan(tmp_path)["m"].fingerprint != before


@pytest.mark.parametrize("version", ["0", "01", "v2", "-1", "1.0"])
def test_a_version_is_a_whole_number(tmp_path: Path, version: str) -> None:
    with pytest.raises(InvalidInput, match="is no version"):
        place(DATA / "iris.onnx", tmp_path, "m", version)


def test_a_name_that_no_model_may_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is no model name"):
        place(DATA / "iris.onnx", tmp_path, "a/b")


def test_a_folder_whose_name_no_model_may_have_does_not_keep_the_others_from_being_found(tmp_path: Path) -> None:
    (tmp_path / "my model" / "1").mkdir(parents=True)
    place(DATA / "iris.onnx", tmp_path, "m")
    assert list(scan(tmp_path)) == ["m"]


def test_a_warm_up_is_checked_and_copied_beside_the_model(tmp_path: Path) -> None:
    warmup = tmp_path / "any.json"
    warmup.write_text("{}")
    with pytest.raises(InvalidInput, match="lacks 'inputs'"):
        place(DATA / "iris.onnx", tmp_path / "repository", "m", warmup=warmup)
    warmup.write_text('{"inputs": []}')
    place(DATA / "iris.onnx", tmp_path / "repository", "m", warmup=warmup)
    assert (tmp_path / "repository" / "m" / "1" / "warmup.json").read_text() == '{"inputs": []}'


def test_a_placement_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        place(folder_with(tmp_path, "nonsense: 1"), tmp_path / "repository", "m")
    assert list((tmp_path / "repository").iterdir()) == []


def test_a_scanner_never_sees_a_half_made_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []
    rename = os.rename

    def watched(source: Any, target: Any) -> None:
        seen.append(scan(tmp_path))
        rename(source, target)
        seen.append(scan(tmp_path))

    monkeypatch.setattr(os, "rename", watched)
    place(DATA / "iris.onnx", tmp_path, "m")
    place(DATA / "iris.onnx", tmp_path, "m", "2")
    versions = [found["m"].versions if found else () for found in seen]
    assert versions == [(), ("1",), ("1",), ("1", "2")]


def test_removing_a_version_leaves_the_others_and_the_last_one_takes_the_model(tmp_path: Path) -> None:
    for version in ("1", "2"):
        place(DATA / "iris.onnx", tmp_path, "m", version)
    remove(tmp_path, "m", "1")
    assert scan(tmp_path)["m"].versions == ("2",)
    remove(tmp_path, "m", "2")
    assert list(tmp_path.iterdir()) == []


def test_removing_a_model_takes_all_of_it(tmp_path: Path) -> None:
    place(DATA / "iris.onnx", tmp_path, "m")
    remove(tmp_path, "m")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "version", "message"), [("n", None, "has no model 'n'"), ("m", "3", "has no version 3; it has 1")]
)
def test_removing_what_is_not_there_says_what_is(tmp_path: Path, name: str, version: str | None, message: str) -> None:
    place(DATA / "iris.onnx", tmp_path, "m")
    with pytest.raises(InvalidInput, match=message):
        remove(tmp_path, name, version)


def test_versions_are_ordered_as_numbers(tmp_path: Path) -> None:
    for version in ("10", "9", "2"):
        place(DATA / "iris.onnx", tmp_path, "m", version)
    assert scan(tmp_path)["m"].versions == ("2", "9", "10")


def test_hidden_folders_files_and_folders_without_versions_are_no_models(tmp_path: Path) -> None:
    (tmp_path / ".half" / "1").mkdir(parents=True)
    (tmp_path / "notes" / "text").mkdir(parents=True)
    (tmp_path / "readme.txt").touch()
    assert scan(tmp_path) == {}
    assert scan(tmp_path / "nowhere") == {}


@pytest.mark.parametrize("change", ["touch", "grow", "add", "remove"])
def test_the_fingerprint_changes_with_any_file(tmp_path: Path, change: str) -> None:
    place(DATA / "external.onnx", tmp_path, "m")
    before = scan(tmp_path)["m"].fingerprint
    file = tmp_path / "m" / "1" / "external.data"
    match change:
        case "touch":
            os.utime(file, ns=(1, 1))
        case "grow":
            file.write_bytes(file.read_bytes() + b"x")
        case "add":
            (file.parent / "labels.txt").touch()
        case _:
            file.unlink()
    assert scan(tmp_path)["m"].fingerprint != before


def test_what_python_writes_while_it_runs_a_model_is_no_change(tmp_path: Path) -> None:
    place(DATA / "tree.pkl", tmp_path, "m")
    before = scan(tmp_path)["m"].fingerprint
    (tmp_path / "m" / "1" / "__pycache__").mkdir()
    (tmp_path / "m" / "1" / "__pycache__" / "model.pyc").touch()
    assert scan(tmp_path)["m"].fingerprint == before
