from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from inferloom.cli.up.applied import FILE, Applied
from inferloom.cli.up.documents import KIND, ModelSpec, VersionSpec
from inferloom.mesh.clock import ManualClock
from inferloom.mesh.errors import ConfigError
from inferloom.mesh.registry.base import Document, DocumentKey
from inferloom.mesh.registry.memory import MemoryRegistry

IRIS = Path(__file__).parents[3] / "data/models/iris.onnx"


@pytest.fixture
def base(tmp_path: Path) -> ModelSpec:
    for name in ("iris.onnx", "v2.onnx"):
        shutil.copyfile(IRIS, tmp_path / name)
    (tmp_path / "warm.json").write_text("{}")
    return ModelSpec("iris", {"1": VersionSpec(tmp_path / "iris.onnx")}, 2)


def documents(*specs: ModelSpec) -> dict[DocumentKey, Document]:
    return {(KIND, one.name): Document(KIND, one.name, one.to_json(), 1, "ada", 1.0) for one in specs}


def test_what_was_added_or_changed_comes_back_at_the_next_start(base: ModelSpec, tmp_path: Path) -> None:
    second = VersionSpec(tmp_path / "v2.onnx", tmp_path / "warm.json", ("x:FP32[-1,4]",), ("y:INT64[-1]",))
    changed = replace(base, versions={**base.versions, "2": second}, replicas=3)
    added = ModelSpec("digits", {"10": VersionSpec(tmp_path / "v2.onnx")}, 1)
    applied = Applied(tmp_path, (base,))
    applied.write(documents(replace(changed, host="here/1"), replace(added, host="here/1")))
    assert {one.name: one for one in Applied(tmp_path, (base,)).models()} == {"iris": changed, "digits": added}
    assert list(changed.versions) == ["1", "2"]


def test_without_a_difference_there_is_no_file(base: ModelSpec, tmp_path: Path) -> None:
    applied = Applied(tmp_path, (base,))
    applied.write(documents(replace(base, replicas=5)))
    assert (tmp_path / FILE).exists()
    applied.write(documents(replace(base, host="here/1")))
    assert not (tmp_path / FILE).exists()
    assert applied.models() == (base,)


def test_a_wrong_file_names_the_line(base: ModelSpec, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("- kind: model\n  name: a\n  spec: {source: gone.onnx}\n")
    with pytest.raises(ConfigError, match=f"{FILE}:3: model 'a': .*gone.onnx"):
        Applied(tmp_path, (base,)).models()


async def test_it_follows_the_documents(base: ModelSpec, tmp_path: Path) -> None:
    registry = MemoryRegistry(ManualClock())
    await registry.documents.put(KIND, "iris", base.to_json())
    keeping = asyncio.create_task(Applied(tmp_path, (base,)).keep(registry))
    await asyncio.sleep(0)
    assert not (tmp_path / FILE).exists()
    await registry.documents.put(KIND, "iris", replace(base, replicas=4).to_json())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert "replicas: 4" in (tmp_path / FILE).read_text()
    keeping.cancel()
    await asyncio.gather(keeping, return_exceptions=True)


def test_a_model_that_was_removed_stays_removed(base: ModelSpec, tmp_path: Path) -> None:
    Applied(tmp_path, (base,)).write({})
    assert Applied(tmp_path, (base,)).models() == ()


def test_the_models_of_another_mesh_on_the_same_consul_are_left_alone(base: ModelSpec, tmp_path: Path) -> None:
    other = ModelSpec("digits", {"1": VersionSpec(tmp_path / "v2.onnx")}, 1, host="there/1")
    applied = Applied(tmp_path, (base,), "here/1")
    applied.write(documents(replace(base, host="here/1"), other))
    assert not (tmp_path / FILE).exists()
