from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from inferloom.cli.up.applied import FILE, Applied
from inferloom.cli.up.documents import KIND, ModelSpec, VersionSpec
from inferloom.cli.up.owned import Mine
from inferloom.mesh.clock import ManualClock
from inferloom.mesh.errors import ConfigError
from inferloom.mesh.registry.base import Document, DocumentKey, Spec
from inferloom.mesh.registry.memory import MemoryRegistry
from inferloom.mesh.split import settled

IRIS = Path(__file__).parents[3] / "data/models/iris.onnx"


@pytest.fixture
def base(tmp_path: Path) -> ModelSpec:
    for name in ("iris.onnx", "v2.onnx"):
        shutil.copyfile(IRIS, tmp_path / name)
    (tmp_path / "warm.json").write_text("{}")
    return ModelSpec("iris", {"1": VersionSpec(tmp_path / "iris.onnx")}, 2)


HERE = "here/1"


def wanted(*specs: ModelSpec) -> dict[DocumentKey, Spec]:
    return {(KIND, one.name): replace(one, host=HERE).to_json() for one in specs}


def applied_in(folder: Path, *specs: ModelSpec) -> Applied:
    return Applied(folder, wanted(*specs), HERE)


def documents(*specs: ModelSpec) -> dict[DocumentKey, Document]:
    return stored({(KIND, one.name): replace(one, host=one.host or HERE).to_json() for one in specs})


def stored(specs: Mapping[DocumentKey, Spec]) -> dict[DocumentKey, Document]:
    return {key: Document(*key, spec, 1, "ada", 1.0) for key, spec in specs.items()}


def test_what_was_added_or_changed_comes_back_at_the_next_start(base: ModelSpec, tmp_path: Path) -> None:
    second = VersionSpec(tmp_path / "v2.onnx", tmp_path / "warm.json", ("x:FP32[-1,4]",), ("y:INT64[-1]",))
    changed = replace(base, versions={**base.versions, "2": second}, replicas=3)
    added = ModelSpec("digits", {"10": VersionSpec(tmp_path / "v2.onnx")}, 1)
    applied = applied_in(tmp_path, base)
    applied.write(documents(changed, added))
    assert applied_in(tmp_path, base).documents() == wanted(changed, added)
    assert list(changed.versions) == ["1", "2"]


def test_without_a_difference_there_is_no_file(base: ModelSpec, tmp_path: Path) -> None:
    applied = applied_in(tmp_path, base)
    applied.write(documents(replace(base, replicas=5)))
    assert (tmp_path / FILE).exists()
    applied.write(documents(replace(base, host="here/1")))
    assert not (tmp_path / FILE).exists()
    assert applied.documents() == wanted(base)


def test_a_wrong_file_names_the_line(base: ModelSpec, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("- kind: model\n  name: a\n  spec: {source: gone.onnx}\n")
    with pytest.raises(ConfigError, match=f"{FILE}:3: model 'a': .*gone.onnx"):
        applied_in(tmp_path, base).documents()


async def test_it_follows_the_documents(base: ModelSpec, tmp_path: Path) -> None:
    registry = MemoryRegistry(ManualClock())
    await registry.documents.put(KIND, "iris", replace(base, host=HERE).to_json())
    keeping = asyncio.create_task(applied_in(tmp_path, base).keep(registry))
    await asyncio.sleep(0)
    assert not (tmp_path / FILE).exists()
    await registry.documents.put(KIND, "iris", replace(base, replicas=4, host=HERE).to_json())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert "replicas: 4" in (tmp_path / FILE).read_text()
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)


def test_a_model_that_was_removed_stays_removed(base: ModelSpec, tmp_path: Path) -> None:
    applied_in(tmp_path, base).write({})
    assert applied_in(tmp_path, base).documents() == {}


def test_the_models_of_another_mesh_on_the_same_consul_are_left_alone(base: ModelSpec, tmp_path: Path) -> None:
    other = ModelSpec("digits", {"1": VersionSpec(tmp_path / "v2.onnx")}, 1, host="there/1")
    applied = applied_in(tmp_path, base)
    applied.write(documents(replace(base, host="here/1"), other))
    assert not (tmp_path / FILE).exists()


SERVICES: dict[DocumentKey, Spec] = {
    ("service", "Read"): {"versions": {"1": {"source": "/a/app.py", "replicas": 2}}, "host": HERE},
    ("app", "app"): {"source": "/a/app.py", "host": HERE},
}
GRAPHS: dict[DocumentKey, Spec] = {
    ("pipeline", "digits"): {"nodes": [{"name": "a", "step": {"model": "iris"}}]},
    ("split", "iris"): {"arms": [{"name": "1", "share": 1}], "ranges": {"1": [[0, 9]]}},
}


def test_added_services_and_applied_pipelines_and_splits_come_back_too(base: ModelSpec, tmp_path: Path) -> None:
    applied_in(tmp_path, base).write({**documents(base), **stored(SERVICES), **stored(GRAPHS)})
    found = applied_in(tmp_path, base).documents()
    assert found == {**wanted(base), **SERVICES, **GRAPHS}
    elsewhere = Applied(tmp_path, wanted(base), "there/2").documents()
    assert elsewhere["service", "Read"] == {**SERVICES["service", "Read"], "host": "there/2"}


def test_a_pipeline_of_mesh_yaml_that_was_removed_stays_removed(base: ModelSpec, tmp_path: Path) -> None:
    both = {**wanted(base), **GRAPHS}
    Applied(tmp_path, both, HERE).write(documents(base))
    assert Applied(tmp_path, both, HERE).documents() == wanted(base)


def test_on_a_consul_that_others_use_only_what_was_written_here_is_kept(base: ModelSpec, tmp_path: Path) -> None:
    mine = Mine(HERE, alone=False)
    mine.wrote(("split", "iris"))
    applied = Applied(tmp_path, wanted(base), HERE, mine)
    applied.write({**documents(base), **stored(GRAPHS)})
    assert applied.documents() == {**wanted(base), ("split", "iris"): GRAPHS["split", "iris"]}


def test_what_the_files_declare_anew_is_no_difference(base: ModelSpec, tmp_path: Path) -> None:
    applied = applied_in(tmp_path, base)
    applied.base = {**applied.base, **SERVICES}
    applied.write({**documents(base), **stored(SERVICES)})
    assert not (tmp_path / FILE).exists()


def test_a_split_with_the_shares_of_mesh_yaml_is_not_kept_whatever_its_ranges_and_one_with_others_is(
    tmp_path: Path,
) -> None:
    spec = settled("iris", {"arms": [{"name": "1", "share": 9}, {"name": "2", "share": 1}]}, None)
    moved = {**spec, "ranges": {"1": [[0, 1]]}}
    applied = Applied(tmp_path, {("split", "iris"): spec}, HERE)
    applied.write(stored({("split", "iris"): moved}))
    assert not (tmp_path / FILE).exists()
    other = settled("iris", {"arms": [{"name": "1", "share": 5}, {"name": "2", "share": 5}]}, spec)
    applied.write(stored({("split", "iris"): other}))
    assert Applied(tmp_path, {("split", "iris"): spec}, HERE).documents() == {("split", "iris"): other}
