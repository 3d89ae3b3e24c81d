"""mesh.yaml with services and pipelines, and the documents that follow from what its files declare."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from inferloom.cli.up.describe import AppDescription
from inferloom.cli.up.documents import ModelSpec, VersionSpec
from inferloom.cli.up.expand import Wanted, expand
from inferloom.cli.up.meshfile import load
from inferloom.cli.up.service_spec import ServiceSpec, ServiceVersion
from inferloom.mesh.errors import ConfigError

IRIS = Path(__file__).parents[3] / "data/models/iris.onnx"
HEAD = "- {kind: model, name: iris, spec: {source: iris.onnx}}\n"
GRAPH = """- kind: pipeline
  name: p
  spec:
    inputs: [{name: x, datatype: FP32, shape: [-1, 4]}]
    nodes: [{name: a, step: {function: "steps:f", inputs: {x: input.x}}}]
    outputs: [{name: y, source: a.y}]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copyfile(IRIS, tmp_path / "iris.onnx")
    for name in ("app.py", "steps.py"):
        (tmp_path / name).write_text("")
    return tmp_path


def expanded(folder: Path, text: str) -> Wanted:
    (folder / "mesh.yaml").write_text(text)
    source = folder / "app.py"
    found = AppDescription(
        source,
        {name: ServiceSpec(name, {"1": ServiceVersion(source, 2, env={"X": "1"})}) for name in ("Read", "Write")},
        {"iris": ModelSpec("iris", {"1": VersionSpec(folder / "iris.onnx")})},
        {"digits": {"nodes": []}},
    )
    file = load(folder / "mesh.yaml")
    assert file.sources <= {source}
    return expand(file, dict.fromkeys(file.sources, found), "here/1")


def test_a_service_is_as_its_file_says_but_for_what_mesh_yaml_says(folder: Path) -> None:
    found = expanded(folder, "- {kind: service, name: Read, spec: {source: app.py, replicas: 3, cpus: 1}}\n")
    version = found["service", "Read"]["versions"]["1"]
    assert (version["replicas"], version["cpus"], version["env"]) == (3, 1, {"X": "1"})
    assert sorted(found) == [("app", "app"), ("model", "iris"), ("service", "Read")]


def test_an_app_is_all_that_its_file_declares(folder: Path) -> None:
    text = "- {kind: app, name: all, spec: {source: app.py}}\n"
    text += "- {kind: service, name: Read, spec: {source: app.py, replicas: 1}}\n"
    found = expanded(folder, text)
    assert {name: found["service", name]["versions"]["1"]["replicas"] for name in ("Read", "Write")} == {
        "Read": 1,
        "Write": 2,
    }
    assert found["pipeline", "digits"] == {"nodes": []}


def test_mesh_yamls_own_model_comes_before_the_files(folder: Path) -> None:
    text = HEAD.replace("iris.onnx}", "iris.onnx, replicas: 4}") + "- {kind: app, name: a, spec: {source: app.py}}\n"
    assert expanded(folder, text)["model", "iris"]["replicas"] == 4


def test_the_steps_of_a_graph_are_found_beside_mesh_yaml(folder: Path) -> None:
    found = expanded(folder, HEAD + GRAPH)
    assert found["app", "steps"]["source"] == str((folder / "steps.py").resolve())
    assert found["pipeline", "p"]["nodes"][0]["step"]["function"] == "steps:f"


def test_a_split_gets_its_ranges(folder: Path) -> None:
    text = (
        HEAD + '- {kind: split, name: iris, spec: {arms: [{name: "1", share: 3}, {name: "2", share: 1}], by: user}}\n'
    )
    found = expanded(folder, text)["split", "iris"]
    assert found["by"] == "user"
    assert sorted(found["ranges"]) == ["1", "2"]


MISTAKES = {
    "a service that the file does not declare": (
        "- {kind: service, name: Raed, spec: {source: app.py}}\n",
        r"mesh.yaml:1: service 'Raed': .*app.py declares no such service; did you mean 'Read'?",
    ),
    "a pipeline that the file does not declare": (
        "- {kind: pipeline, name: other, spec: {source: app.py}}\n",
        r"mesh.yaml:1: pipeline 'other': .* it declares digits",
    ),
    "a file that is not there": (
        "- {kind: service, name: Read, spec: {source: gone.py}}\n",
        r"mesh.yaml:1: service 'Read': there is no file .*gone.py",
    ),
    "no Python": (HEAD + "- {kind: app, name: a, spec: {source: iris.onnx}}\n", "iris.onnx is no Python file"),
    "no source": ("- {kind: service, name: Read, spec: {}}\n", "service 'Read' needs 'source'"),
    "an unknown key": (
        "- {kind: service, name: Read, spec: {source: app.py, replica: 1}}\n",
        "service 'Read': unknown key 'replica'; did you mean 'replicas'?",
    ),
    "a wrong number": (
        "- {kind: service, name: Read, spec: {source: app.py, cpus: many}}\n",
        "cpus must be a whole number from 0 to 1024, not 'many'",
    ),
    "a name for two things": (
        HEAD + "- {kind: pipeline, name: iris, spec: {source: app.py}}\n",
        "mesh.yaml:2: pipeline 'iris' is declared twice, as a model too",
    ),
    "a field that a graph does not have": (
        HEAD + GRAPH.replace("outputs", "outpust"),
        r"mesh.yaml:5: pipeline 'p': outpust: unknown; did you mean 'outputs'?",
    ),
    "a graph that is none": (HEAD + "- {kind: pipeline, name: p, spec: [1]}\n", "pipeline 'p' needs nodes and outputs"),
    "a split without arms": (HEAD + "- {kind: split, name: iris, spec: {}}\n", "split 'iris': 'arms' must be a list"),
    "a split that is none": (HEAD + "- {kind: split, name: iris, spec: 1}\n", "split 'iris' must be a mapping"),
    "a port that is none": (
        HEAD + "- {kind: mesh, name: m, spec: {http: web}}\n",
        "mesh.yaml:2: http: 'web' is no HOST:PORT",
    ),
}


@pytest.mark.parametrize(("text", "said"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line_with_its_place(folder: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said.replace("'?", r"'\?")) as caught:
        expanded(folder, text)
    assert "\n" not in str(caught.value)


def test_two_files_that_declare_one_name_are_a_mistake(folder: Path) -> None:
    (folder / "other.py").write_text("")
    text = "".join(f"- {{kind: app, name: {name}, spec: {{source: {name}.py}}}}\n" for name in ("app", "other"))
    (folder / "mesh.yaml").write_text(text)
    described = {
        folder / name: AppDescription(
            folder / name, {"Read": ServiceSpec("Read", {"1": ServiceVersion(folder / name)})}
        )
        for name in ("app.py", "other.py")
    }
    with pytest.raises(
        ConfigError, match=r"other.py: service 'Read' has the name of something in .*app.py; rename one"
    ):
        expand(load(folder / "mesh.yaml"), described, "here/1")


def test_two_files_of_one_name_are_a_mistake(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "app.py").write_text("")
    text = "- {kind: app, name: a, spec: {source: app.py}}\n- {kind: app, name: b, spec: {source: sub/app.py}}\n"
    (folder / "mesh.yaml").write_text(text)
    described = {
        path: AppDescription(path, {name: ServiceSpec(name, {"1": ServiceVersion(path)})})
        for name, path in (("A", folder / "app.py"), ("B", folder / "sub" / "app.py"))
    }
    with pytest.raises(ConfigError, match=r"two files are called app\.py"):
        expand(load(folder / "mesh.yaml"), described, "here/1")
