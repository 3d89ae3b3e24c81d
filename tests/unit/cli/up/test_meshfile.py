"""mesh.yaml: what it says, and for each mistake one line with file, line, key and cure."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from inferloom.cli.up.documents import MeshSpec, ModelSpec, VersionSpec
from inferloom.cli.up.meshfile import load
from inferloom.mesh.errors import ConfigError

IRIS = Path(__file__).parents[3] / "data/models/iris.onnx"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("iris.onnx", "iris-v2.onnx"):
        shutil.copyfile(IRIS, tmp_path / name)
    (tmp_path / "warm.json").write_text("{}")
    return tmp_path


def written(folder: Path, text: str) -> Path:
    path = folder / "mesh.yaml"
    path.write_text(text)
    return path


def model(spec: str, name: str = "iris") -> str:
    return f"- kind: model\n  name: {name}\n  spec: {spec}\n"


def test_a_model_is_one_file(folder: Path) -> None:
    content = load(written(folder, model("{source: iris.onnx, replicas: 2, gpus: 1}")))
    assert content.mesh == MeshSpec()
    assert content.models == (ModelSpec("iris", {"1": VersionSpec(folder / "iris.onnx")}, 2, 1),)


def test_or_versions_side_by_side_each_with_what_goes_with_it(folder: Path) -> None:
    text = model("{versions: {1: iris.onnx, 2: {source: iris-v2.onnx, warmup: warm.json, inputs: ['x:FP32[-1,4]']}}}")
    (spec,) = load(written(folder, text)).models
    assert spec.versions == {
        "1": VersionSpec(folder / "iris.onnx"),
        "2": VersionSpec(folder / "iris-v2.onnx", folder / "warm.json", ("x:FP32[-1,4]",)),
    }


def test_documents_may_be_apart_and_paths_are_beside_the_file(folder: Path) -> None:
    text = "kind: model\nname: a\nspec: {source: iris.onnx}\n---\nkind: model\nname: b\nspec: {source: ./iris.onnx}\n"
    assert [spec.name for spec in load(written(folder, text)).models] == ["a", "b"]


def test_replicas_come_from_the_model_else_the_command_line_else_the_mesh_else_one(folder: Path) -> None:
    mesh = "- {kind: mesh, name: m, spec: {replicas: 3, grpc: ':9', registry: consul, gateway: python}}\n"
    both = model("{source: iris.onnx}") + model("{source: iris.onnx, replicas: 5}", "b")
    for text, given, expected in [(mesh + both, None, [3, 5]), (mesh + both, 2, [2, 5]), (both, None, [1, 5])]:
        content = load(written(folder, text), given)
        assert [spec.replicas for spec in content.models] == expected
    assert load(written(folder, mesh + both)).mesh == MeshSpec(
        3, ":9", f"{folder}/mesh.yaml:1: grpc", "consul", gateway="python"
    )


MISTAKES = {
    "an address that is none": (
        "- {kind: mesh, name: m, spec: {grpc: nonsense}}\n" + model("{source: iris.onnx}"),
        "mesh.yaml:1: grpc: 'nonsense' is no HOST:PORT",
    ),
    "a registry that there is not": (
        "- {kind: mesh, name: m, spec: {registry: nomad}}\n" + model("{source: iris.onnx}"),
        "mesh.yaml:1: 'nomad' is none of memory, consul, consul://HOST:PORT",
    ),
    "an unknown key has the nearest one": (
        model("{source: iris.onnx, replica: 2}"),
        "mesh.yaml:3: model 'iris': unknown key 'replica'; did you mean 'replicas'?",
    ),
    "a key like none": (
        model("{source: iris.onnx, zzz: 2}"),
        "mesh.yaml:3: model 'iris': unknown key 'zzz'; known are source, versions,",
    ),
    "a key of the envelope": (
        "- kind: model\n  nam: iris\n  spec: {source: iris.onnx}\n",
        "mesh.yaml:2: a document: unknown key 'nam'; did you mean 'name'?",
    ),
    "a key of the mesh": (
        "- {kind: mesh, name: m, spec: {grcp: ':1'}}\n",
        "mesh.yaml:1: mesh 'm': unknown key 'grcp'; did you mean 'grpc'?",
    ),
    "a key of a version": (
        model("\n    versions:\n      1:\n        sourc: iris.onnx"),
        "mesh.yaml:6: model 'iris', version 1: unknown key 'sourc'; did you mean 'source'?",
    ),
    "a key twice": (
        model("\n    source: iris.onnx\n    source: iris.onnx"),
        "mesh.yaml:5: model 'iris': key 'source' stands twice",
    ),
    "no name": ("- kind: model\n  spec: {source: iris.onnx}\n", "mesh.yaml:1: a document needs 'name'"),
    "no spec": ("- kind: model\n  name: iris\n", "mesh.yaml:1: a document needs 'spec'"),
    "an empty spec": (model(""), "mesh.yaml:3: model 'iris' must be a mapping with the keys source, versions,"),
    "an unknown kind": (
        "- {kind: quota, name: a, spec: {}}\n",
        "mesh.yaml:1: unknown kind 'quota'; known are mesh, model, service, app, pipeline, split, policy",
    ),
    "a wrong name": (model("{source: iris.onnx}", "a/b"), "mesh.yaml:2: 'a/b' is no name: 1 to 128 letters"),
    "a name of dots": (model("{source: iris.onnx}", "'..'"), "mesh.yaml:2: '..' is no name"),
    "neither source nor versions": (model("{replicas: 2}"), "mesh.yaml:3: model 'iris' needs either 'source'"),
    "both": (model("{source: iris.onnx, versions: {1: iris.onnx}}"), "mesh.yaml:3: model 'iris' needs either 'source'"),
    "a missing file": (model("{source: other.onnx}"), "mesh.yaml:3: model 'iris': "),
    "a missing warm-up": (
        model("\n    source: iris.onnx\n    warmup: none.json"),
        "mesh.yaml:5: model 'iris': there is no file ",
    ),
    "no number": (
        model("{source: iris.onnx, replicas: two}"),
        "mesh.yaml:3: replicas must be a whole number from 1 to 64, not 'two'",
    ),
    "too many": (model("{source: iris.onnx, replicas: 65}"), "mesh.yaml:3: replicas must be a whole number from 1 to"),
    "none of it": (model("{source: iris.onnx, replicas: 0}"), "mesh.yaml:3: replicas must be a whole number from 1 to"),
    "a truth": (model("{source: iris.onnx, gpus: true}"), "mesh.yaml:3: gpus must be a whole number from 0 to 64"),
    "a list of numbers": (
        model("{source: iris.onnx, gpus: [1]}"),
        "gpus must be a whole number from 0 to 64, not 'a l",
    ),
    "a number with a strange tag": (
        model("{source: iris.onnx, gpus: !one 1}"),
        "mesh.yaml:3: gpus must be a whole number from 0 to 64",
    ),
    "a number whose tag lies": (
        model("{source: iris.onnx, gpus: !!int x}"),
        "mesh.yaml:3: gpus must be a whole number from 0 to 64",
    ),
    "a version that is no number": (
        model("{versions: {latest: iris.onnx}}"),
        "mesh.yaml:3: model 'iris': version 'latest' must be a whole number from 1",
    ),
    "a version of zero": (model("{versions: {0: iris.onnx}}"), "version '0' must be a whole number from 1"),
    "a version with a leading zero": (model("{versions: {01: iris.onnx}}"), "version '01' must be a whole number from"),
    "a version that only looks like one": (model("{versions: {²: iris.onnx}}"), "version '²' must be a whole number"),
    "versions that are none": (model("{versions: {}}"), "mesh.yaml:3: model 'iris': 'versions' is empty"),
    "versions as a list": (model("{versions: [iris.onnx]}"), "mesh.yaml:3: model 'iris', versions must be a mapping"),
    "a version without a source": (
        model("{versions: {1: {inputs: []}}}"),
        "mesh.yaml:3: model 'iris', version 1: needs 'source'",
    ),
    "what belongs to a version": (
        model("\n    versions: {1: iris.onnx}\n    warmup: warm.json"),
        "mesh.yaml:5: model 'iris': 'warmup' belongs to each version",
    ),
    "inputs that are no list": (model("{source: iris.onnx, inputs: x}"), "mesh.yaml:3: inputs must be a list"),
    "a model twice": (
        model("{source: iris.onnx}") + model("{source: iris.onnx}"),
        "mesh.yaml:4: model 'iris' is declared twice",
    ),
    "a mesh twice": (
        "- {kind: mesh, name: a, spec: {replicas: 2}}\n- {kind: mesh, name: b, spec: {replicas: 3}}\n",
        "mesh.yaml:2: a second document of kind mesh",
    ),
    "a gateway that is not there": (
        "- {kind: mesh, name: m, spec: {gateway: nginx}}\n",
        "mesh.yaml:1: gateway 'nginx' is none of python, envoy",
    ),
    "no YAML": ("- kind: [model\n", "mesh.yaml:2: no YAML: "),
    "a character that YAML forbids": ("- kind: model\x01\n", "mesh.yaml: no YAML: "),
    "nothing at all": ("", "mesh.yaml: declares nothing; a first document:"),
    "no model": ("- {kind: mesh, name: m, spec: {}}\n", "mesh.yaml: declares no model; add one:"),
    "no documents": ("just a text\n", "mesh.yaml:1: a document must be a mapping with the keys kind, name, spec"),
}


@pytest.mark.parametrize(("text", "message"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_one_line_with_its_place(folder: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load(written(folder, text))
    assert message in str(raised.value)
    assert str(raised.value).startswith(str(folder / "mesh.yaml"))
    assert "\n" not in str(raised.value)


def test_a_file_that_cannot_be_read_says_so(folder: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load(folder / "other.yaml")
    (folder / "mesh.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is no text file"):
        load(folder / "mesh.yaml")
