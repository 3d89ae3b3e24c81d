"""What a file says the mesh shall have, before a mesh is asked."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from inferloom.cli.documents.kinds import drawn, kind_of, settled
from inferloom.cli.documents.signatures import Declared, ask_signatures
from inferloom.cli.documents.written import Written, written
from inferloom.cli.up.describe import AppDescription
from inferloom.cli.up.service_spec import ServiceSpec, ServiceVersion
from inferloom.mesh.errors import ConfigError, InvalidInput

PIPELINE = """
- kind: pipeline
  name: loud
  spec:
    inputs: {text: "BYTES [1]"}
    nodes:
      - {name: first, step: {model: Shout, inputs: {text: input.text}}}
      - name: second
        step: {model: Shout, inputs: {text: first.text}}
    outputs: {text: second.text}
"""
SPLIT = """
kind: split
name: Shout
spec: {arms: [{name: "1", share: 90}, {name: "2", share: 10}]}
"""


POLICY = """
kind: policy
name: Shout
spec: {timeout: 1.5 s, retry: {attempts: 2, jitter: 0.5}}
"""


async def nothing(path: Path) -> AppDescription:
    return AppDescription(path)


async def from_text(folder: Path, text: str) -> Written:
    file = folder / "mesh.yaml"
    file.write_text(text)
    return await written(file, ask=nothing)


async def test_documents_of_several_kinds_are_read_with_their_places(tmp_path: Path) -> None:
    found = await from_text(tmp_path, PIPELINE + "\n".join(["- kind: split", *_indented(SPLIT)]))
    assert sorted(found.documents) == [("pipeline", "loud"), ("split", "Shout")]
    assert found.place(("pipeline", "loud")).endswith("mesh.yaml:5")
    assert found.place(("pipeline", "loud"), "first").endswith("mesh.yaml:7")
    assert found.place(("pipeline", "loud"), "second").endswith("mesh.yaml:8")
    assert found.place(("pipeline", "loud"), "third").endswith("mesh.yaml:5")
    assert found.place(("app", "steps")) == str(tmp_path / "mesh.yaml")


def _indented(text: str) -> list[str]:
    return [f"  {line}" for line in text.strip().splitlines()[1:]]


async def test_nodes_that_are_a_mapping_have_their_places_too(tmp_path: Path) -> None:
    found = await from_text(
        tmp_path,
        "kind: pipeline\nname: loud\nspec:\n  inputs: {text: 'BYTES [1]'}\n  nodes:\n    shout:\n"
        "      step: {model: Shout, inputs: {text: input.text}}\n  outputs: {text: shout.text}\n",
    )
    assert found.place(("pipeline", "loud"), "shout").endswith("mesh.yaml:6")


async def test_a_field_has_the_line_of_its_key_or_of_what_it_would_be_in(tmp_path: Path) -> None:
    found = await from_text(
        tmp_path,
        "kind: policy\nname: Shout\nspec:\n  timeout: 1s\n  retry:\n    budget: {ratio: 0.1,\n      floor: 3}\n",
    )
    lines = {"timeout": 4, "retry": 5, "retry.budget.ratio": 6, "retry.budget.floor": 7, "retry.jitter": 5, "health": 4}
    for path, line in lines.items():
        assert found.field(("policy", "Shout"), path).endswith(f"mesh.yaml:{line}")
    assert found.field(("policy", "other"), "timeout") == str(tmp_path / "mesh.yaml")


async def test_a_file_may_hold_splits_alone(tmp_path: Path) -> None:
    found = await from_text(tmp_path, SPLIT)
    assert [arm["name"] for arm in found.documents["split", "Shout"]["arms"]] == ["1", "2"]


async def test_a_file_may_hold_policies_beside_splits_and_nothing_else(tmp_path: Path) -> None:
    found = await from_text(tmp_path, SPLIT + "---" + POLICY)
    assert sorted(found.documents) == [("policy", "Shout"), ("split", "Shout")]
    assert found.documents["policy", "Shout"] == {"timeout": "1.5s", "retry": {"attempts": 2, "jitter": 0.5}}
    assert found.place(("policy", "Shout")).endswith("mesh.yaml:8")


async def test_a_policy_stands_in_a_mesh_file_beside_what_it_is_for(tmp_path: Path) -> None:
    found = await from_text(tmp_path, PIPELINE + "- kind: policy\n  name: loud\n  spec: {concurrency: 4}\n")
    assert sorted(found.documents) == [("pipeline", "loud"), ("policy", "loud")]
    assert found.documents["policy", "loud"] == {"concurrency": 4}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (POLICY + "---" + POLICY, "mesh.yaml:6: policy 'Shout' is declared twice"),
        (POLICY.replace("jitter", "jiter"), "mesh.yaml:4: policy 'Shout': unknown field 'retry.jiter'; did you mean"),
        (
            POLICY.replace("1.5 s", "2"),
            "mesh.yaml:4: policy 'Shout': timeout must be a duration as text, as 500ms or 2s",
        ),
        (POLICY.replace("{timeout", "[{timeout").replace("}}", "}}]"), "policy 'Shout': its spec must be a mapping"),
        ("kind: split\nname: a b\nspec: {arms: []}\n", "mesh.yaml:2: 'a b' is no name"),
        ("kind: split\nspec: {arms: []}\n", "mesh.yaml:1: the document has no 'name'"),
        ("kind: split\nname: a\nspce: {}\n", "mesh.yaml:3: a document: unknown key 'spce'; did you mean 'spec'?"),
        (SPLIT + "---" + SPLIT, "mesh.yaml:6: split 'Shout' is declared twice"),
        ("kind: pipline\nname: a\nspec: {}\n", "mesh.yaml:1: "),
        (PIPELINE.replace("model: Shout", "modle: Shout"), "mesh.yaml:5: pipeline 'loud': "),
    ],
)
async def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        await from_text(tmp_path, text)
    assert message in str(caught.value)


async def test_a_python_file_is_asked_what_it_declares(tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    app.write_text("")

    async def ask(path: Path) -> AppDescription:
        services = {"Shout": ServiceSpec("Shout", {"1": ServiceVersion(path)})}
        return AppDescription(path, services, pipelines={"loud": {"outputs": []}})

    found = await written(app, "here", ask)
    assert sorted(found.documents) == [("app", "app"), ("pipeline", "loud"), ("service", "Shout")]
    assert found.documents["service", "Shout"]["host"] == "here"
    assert found.sources == {app}
    with pytest.raises(ConfigError, match="there is no file"):
        await written(tmp_path / "other.py", ask=ask)


@pytest.mark.parametrize(
    ("text", "kind"), [("pipeline", "pipeline"), ("Splits", "split"), ("models", "model"), ("policies", "policy")]
)
def test_kinds_may_be_plural(text: str, kind: str) -> None:
    assert kind_of(text) == kind


def test_an_unknown_kind_names_the_nearest() -> None:
    with pytest.raises(InvalidInput, match=r"there is no kind 'pipelin'; did you mean 'pipeline'\?"):
        kind_of("pipelin")
    with pytest.raises(InvalidInput, match="there is no kind 'x'; known are model, service, app, pipeline, split"):
        kind_of("x")


def test_a_split_is_stored_with_the_ranges_that_follow_from_the_present_ones() -> None:
    before = settled("split", "iris", {"arms": [{"name": "1", "share": 50}, {"name": "2", "share": 50}]}, None)
    after = settled("split", "iris", {"arms": [{"name": "1", "share": 40}, {"name": "2", "share": 60}]}, before)
    start, end = before["ranges"]["2"][0]
    assert any(first <= start and end <= last for first, last in after["ranges"]["2"])
    assert settled("split", "iris", after, after) == after
    assert settled("model", "iris", {"replicas": 1}, None) == {"replicas": 1}


def test_a_document_is_shown_in_every_form_of_its_kind() -> None:
    graph = {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [1]}],
        "outputs": [{"name": "y", "source": "m.y"}],
        "nodes": [{"name": "m", "step": {"model": "iris", "inputs": {"x": "input.x"}}}],
    }
    assert drawn("pipeline", "p", graph, "yaml").startswith("kind: pipeline\nname: p\nspec:\n  inputs:\n")
    assert '"kind": "pipeline"' in drawn("pipeline", "p", graph, "json")
    assert "model iris" in drawn("pipeline", "p", graph, "text")
    assert drawn("pipeline", "p", graph, "svg").startswith("<svg ")
    with pytest.raises(InvalidInput, match="-o svg draws pipelines; a split is shown as yaml or json"):
        drawn("split", "iris", {}, "svg")
    with pytest.raises(InvalidInput, match="-o pdf: the forms are yaml, json, text, svg"):
        drawn("split", "iris", {}, "pdf")


async def test_python_files_are_imported_in_a_process_of_their_own(tmp_path: Path) -> None:
    app = tmp_path / "asked_app.py"
    app.write_text(
        "from inferloom.sdk import step\nprint('imported')\n@step(rows=True)\ndef twice(x: int) -> int:\n    return 2 * x\n"
    )
    found = await ask_signatures([app])
    step = found.steps["asked_app:twice"]
    assert (step["rows"], [str(spec) for spec in step["signature"].inputs]) == (True, ["x INT64 [1]"])
    assert "asked_app" not in sys.modules
    app.write_text("1 / 0\n")
    with pytest.raises(InvalidInput, match=r"asked_app.py:1: ZeroDivisionError: division by zero"):
        await ask_signatures([app])
    assert await ask_signatures([]) == Declared()
