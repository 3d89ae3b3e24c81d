"""check, apply, get, diff, history, rollback and delete, against a registry in this process."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inferloom.cli.documents import apply, change, checking, mesh, show, signatures
from inferloom.cli.state import MeshState
from inferloom.clients.metadata import TensorSpec
from inferloom.mesh.catalog import Kind, Replica
from inferloom.mesh.errors import ConfigError, InvalidInput, RegistryUnavailable
from inferloom.mesh.registry.memory import MemoryRegistry
from inferloom.services.signature import Signature

SHOUT = Signature((TensorSpec("text", "BYTES", (1,)),), (TensorSpec("text", "BYTES", (1,)),))
HERE: dict[str, Any] = {"mesh": None, "token": None}

LOUD = """
kind: pipeline
name: loud
spec:
  inputs: {text: "BYTES [1]"}
  nodes:
    shout: {model: Shout, inputs: {text: input.text}}
  outputs: {text: shout.text}
"""
WRONG = LOUD.replace("model: Shout", "model: Shuot").replace("name: loud", "name: wrong")
APP = """
from inferloom.sdk import pipeline, service, step

@step
def twice(text: str) -> str:
    return text + text

@service(effects=True)
class Pay:
    async def predict(self, amount: int) -> int:
        return amount
"""


class World:
    """A mesh that serves Shout, without a network."""

    def __init__(self, folder: Path, registry: MemoryRegistry) -> None:
        self.folder = folder
        self.registry = registry
        self.state = MeshState("127.0.0.1:1", 1, "token", host="here/127.0.0.1:1")

    def write(self, text: str, name: str = "documents.yaml") -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    async def spec(self, name: str = "loud", kind: str = "pipeline") -> Any:
        document = await self.registry.documents.get(kind, name)
        return document.spec if document is not None else None


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    registry = MemoryRegistry()
    found = World(tmp_path, registry)
    await registry.register(Replica("Shout", "a", "127.0.0.1", 1, versions=("1",), kind=Kind.SERVICE))
    for name in ("loud", "other"):  # as if a host had taken them up already: `apply` waits for that
        await registry.register(Replica(name, "a", "127.0.0.1", 1, versions=("1",), kind=Kind.PIPELINE))

    @asynccontextmanager
    async def opened(mesh: str | None, token: str | None) -> AsyncIterator[tuple[MeshState, MemoryRegistry]]:
        yield found.state, registry

    async def served(callees: Sequence[tuple[str, str]], address: str, token: str | None) -> dict[Any, Signature]:
        return {callee: SHOUT for callee in callees if callee[0] == "Shout"}

    for module in (apply, show, change):
        monkeypatch.setattr(module, "opened", opened)
    monkeypatch.setattr(apply, "find", lambda mesh, token: found.state)
    monkeypatch.setattr(show, "find", lambda mesh, token: found.state)
    monkeypatch.setattr(checking, "_served", served)
    monkeypatch.setattr(registry, "address", found.state.address, raising=False)
    return found


async def test_what_is_applied_is_stored_once(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    file = world.write(LOUD)
    assert await apply.check(file, **HERE)
    assert await world.spec() is None
    assert await apply.apply(file, **HERE)
    assert await apply.apply(file, **HERE)
    file.write_text(LOUD.replace("outputs: {text:", "outputs: {loud:"))
    assert await apply.apply(file, **HERE)
    assert capsys.readouterr().out.splitlines() == [
        f"{file}: 1 pipeline, nothing wrong",
        "pipeline loud: new, version 1",
        "pipeline loud: unchanged (version 1)",
        "pipeline loud: changed, version 2",
    ]
    assert (await world.spec())["outputs"] == [{"name": "loud", "source": "shout.text"}]


POLICY = """
kind: policy
name: Shuot
spec:
  timeout: 2s
  retry:
    attempts: 2
    jitter: 0.5
"""


async def test_a_policy_is_stored_as_written_and_what_the_gateway_does_not_keep_to_is_said(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    file = world.write(POLICY)
    world.state = replace(world.state, control="127.0.0.1:2")
    assert await apply.check(file, **HERE)
    said = capsys.readouterr()
    assert said.out.splitlines() == [f"{file}: 1 policy, nothing wrong"]
    assert said.err.splitlines() == [
        f"inferloom: {file}:5: policy 'Shuot': nothing of that name is served now; did you mean 'Shout'?",
        f"inferloom: {file}:8: policy 'Shuot': with gateway: envoy, retry.jitter has no effect: waits are all random",
    ]
    file.write_text(POLICY.replace("Shuot", "Shout").partition("  retry:")[0])
    assert await apply.apply(file, **HERE)
    assert await apply.apply(file, **HERE)
    said = capsys.readouterr()
    assert said.out.splitlines() == ["policy Shout: new, version 1", "policy Shout: unchanged (version 1)"]
    assert said.err == ""
    assert await world.spec("Shout", "policy") == {"timeout": "2s"}
    file.write_text(POLICY.replace("Shuot", "Shout").replace("2s", "3s"))
    assert not await show.diff([str(file)], **HERE)
    assert await apply.apply(file, **HERE)
    assert await change.rollback("policy", "Shout", None, **HERE)
    assert await world.spec("Shout", "policy") == {"timeout": "2s"}
    await change.delete("policies", "Shout", **HERE)
    assert await world.spec("Shout", "policy") is None


@pytest.mark.parametrize(
    ("state", "warned"),
    [
        (MeshState("127.0.0.1:1", 1, "token", control="127.0.0.1:2"), True),
        (MeshState("127.0.0.1:1", 1, "token"), False),
        (MeshState("mesh.example:80", 0, None), True),
    ],
    ids=["it has Envoy", "it has none", "nobody here knows"],
)
async def test_what_envoy_does_not_keep_to_is_not_said_of_a_mesh_without_it(
    world: World, capsys: pytest.CaptureFixture[str], state: MeshState, warned: bool
) -> None:
    world.state = state
    file = world.write(POLICY.replace("Shuot", "Shout"))
    assert await apply.check(file, **HERE)
    assert await apply.apply(file, **HERE)
    assert ("with gateway: envoy" in capsys.readouterr().err) is warned


async def test_a_pipeline_that_fails_its_check_changes_nothing_not_even_beside_it(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    two = WRONG.replace("outputs: {text: shout.text}", "outputs: {text: shout.text, more: shuot.text}")
    file = world.write(LOUD + "---" + two)
    assert not await apply.check(file, **HERE)
    assert not await apply.apply(file, **HERE)
    assert await world.spec() is None
    findings = [
        f"inferloom: {file}:15: pipeline 'wrong': node shout, model: no model 'Shuot' in the catalog; did you mean 'Shout'?",
        f"inferloom: {file}:13: pipeline 'wrong': outputs.more: 'shuot' is no node; did you mean 'shout'?",
    ]
    told = capsys.readouterr().err.splitlines()
    assert sorted(told[:2]) == sorted(findings)
    assert told[-1] == f"inferloom: {file}: nothing was applied"


async def test_pipelines_of_one_file_know_each_other_and_a_circle_is_found(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    other = LOUD.replace("name: loud", "name: other").replace("model: Shout", "model: loud")
    assert await apply.check(world.write(LOUD + "---" + other), **HERE)
    circle = LOUD.replace("model: Shout", "model: other")
    assert not await apply.check(world.write(circle + "---" + other), **HERE)
    assert "it calls itself: loud -> other -> loud" in capsys.readouterr().err


async def test_functions_and_services_of_python_files_are_known(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    app = world.write(APP, "documents_app.py")

    async def ask(files: Sequence[Path]) -> signatures.Declared:
        return signatures.declared(json.loads(json.dumps(signatures.told([str(file) for file in files]))))

    monkeypatch.setattr(checking, "ask_signatures", ask)
    try:
        text = LOUD.replace("model: Shout", "function: documents_app:twice").replace("shout.text", "shout.result")
        assert await apply.apply(world.write(text), **HERE)
        assert (await world.spec("documents_app", "app"))["source"] == str(app)
        found = await ask([app])
        assert found.repeat == {"Pay": "never"}
        assert [str(spec) for spec in found.services["Pay"].inputs] == ["amount INT64 [1]"]
        assert found.steps["documents_app:twice"]["name"] == "twice"
    finally:
        sys.modules.pop("documents_app", None)
        sys.path[:] = [entry for entry in sys.path if entry != str(world.folder)]


async def test_models_and_services_are_applied_where_their_mesh_runs(world: World) -> None:
    world.state = MeshState("127.0.0.1:1", 0, "token")
    file = world.write(LOUD.replace("model: Shout", "function: steps:twice"))
    world.write(APP, "steps.py")
    with pytest.raises(ConfigError, match="app 'steps' is served from files, and no `inferloom up` of yours"):
        await apply.apply(file, **HERE)


async def test_without_a_mesh_a_file_is_checked_as_far_as_it_goes(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def gone(mesh: str | None, token: str | None) -> Any:
        raise RegistryUnavailable("no mesh runs here")

    monkeypatch.setattr(apply, "opened", gone)
    file = world.write(LOUD)
    assert await apply.check(file, **HERE)
    assert capsys.readouterr().err == f"{file}: 1 pipeline; not checked against models: no mesh runs here\n"
    with pytest.raises(RegistryUnavailable):
        await apply.check(file, mesh="127.0.0.1:1", token=None)


@pytest.fixture
async def twice(world: World, capsys: pytest.CaptureFixture[str]) -> World:
    """The pipeline in two versions."""
    file = world.write(LOUD)
    await apply.apply(file, **HERE)
    file.write_text(LOUD.replace("outputs: {text:", "outputs: {loud:"))
    await apply.apply(file, **HERE)
    capsys.readouterr()
    return world


async def test_a_document_is_shown_as_it_is_and_was(twice: World, capsys: pytest.CaptureFixture[str]) -> None:
    await show.get("pipeline", "loud", None, None, **HERE)
    assert "model Shout" in capsys.readouterr().out
    await show.get("pipeline", "loud", 1, "yaml", **HERE)
    assert "- name: text\n    source: shout.text" in capsys.readouterr().out
    await show.get("pipelines", None, None, None, **HERE)
    assert capsys.readouterr().out.startswith("loud  version 2, ")
    with pytest.raises(InvalidInput, match=r"there is no pipeline 'lout'; did you mean 'loud'\?"):
        await show.get("pipeline", "lout", None, None, **HERE)
    with pytest.raises(InvalidInput, match="pipeline 'loud' has no version 7; kept are 1, 2"):
        await show.get("pipeline", "loud", 7, None, **HERE)


async def test_differences_are_shown_between_versions_and_to_a_file(
    twice: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not await show.diff(["pipeline", "loud"], **HERE)
    out = capsys.readouterr().out
    assert out.startswith("--- pipeline loud version 1\n+++ pipeline loud version 2\n")
    assert "-- name: text\n+- name: loud" in out
    assert await show.diff(["pipeline", "loud", "2", "2"], **HERE)
    file = twice.write(LOUD.replace("outputs: {text:", "outputs: {loud:"))
    assert await show.diff([str(file)], **HERE)
    assert capsys.readouterr().out == ""
    file.write_text(LOUD)
    assert not await show.diff([str(file)], **HERE)
    assert "-- name: loud\n+- name: text" in capsys.readouterr().out
    with pytest.raises(InvalidInput, match="give a FILE, or KIND NAME"):
        await show.diff(["pipeline", "loud", "new"], **HERE)


async def test_a_rollback_is_a_new_version_and_so_is_a_deletion(
    twice: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await change.rollback("pipeline", "loud", None, **HERE)
    assert (await twice.spec())["outputs"][0]["name"] == "text"
    await change.delete("pipeline", "loud", **HERE)
    assert await twice.spec() is None
    assert await change.rollback("pipeline", "loud", 2, **HERE)
    assert (await twice.spec())["outputs"][0]["name"] == "loud"
    assert await change.rollback("pipeline", "loud", 2, **HERE)
    assert capsys.readouterr().out.splitlines() == [
        "pipeline loud: version 3, the same as 1",
        "pipeline loud: deleted (version 3 can be brought back: inferloom rollback pipeline loud)",
        "pipeline loud: version 5, the same as 2",
        "pipeline loud: version 5 is the same as 2; nothing to do",
    ]
    await show.history("pipeline", "loud", **HERE)
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in shown] == ["5", "4", "3", "2", "1"]
    assert shown[1].endswith("deleted")
    with pytest.raises(InvalidInput, match="version 4 of pipeline 'loud' is its deletion"):
        await change.rollback("pipeline", "loud", 4, **HERE)


async def test_a_rollback_to_what_cannot_run_now_changes_nothing(
    twice: World, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = json.loads(json.dumps(await twice.spec()).replace("Shout", "Gone"))
    await twice.registry.documents.put("pipeline", "loud", spec)
    await change.rollback("pipeline", "loud", 2, **HERE)
    assert not await change.rollback("pipeline", "loud", 3, **HERE)
    assert "version 3: pipeline 'loud': node shout, model: no model 'Gone'" in capsys.readouterr().err
    assert "Shout" in json.dumps(await twice.spec())


async def test_what_is_not_there_cannot_be_taken_back_or_out(world: World) -> None:
    for work in (change.rollback("split", "iris", None, **HERE), change.delete("split", "iris", **HERE)):
        with pytest.raises(InvalidInput, match="there is no split 'iris'"):
            await work
    with pytest.raises(InvalidInput, match="there is no split 'iris'"):
        await show.history("split", "iris", **HERE)
    await world.registry.documents.put("split", "iris", {"arms": []})
    with pytest.raises(InvalidInput, match="split 'iris' has no version before 1"):
        await change.rollback("split", "iris", None, **HERE)


@pytest.fixture
def no_mesh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFERLOOM_STATE", str(tmp_path))
    for name in ("INFERLOOM_MESH", "INFERLOOM_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("no_mesh")
def test_where_no_mesh_runs_and_none_is_named_that_is_said() -> None:
    with pytest.raises(RegistryUnavailable, match="no mesh runs here: start one with `inferloom up FILE`"):
        mesh.meant(None, None)
    assert mesh.meant("127.0.0.1:7", None).address == "127.0.0.1:7"
