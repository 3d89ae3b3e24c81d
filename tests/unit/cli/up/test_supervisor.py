"""The supervisor with a fleet that starts nothing, on folders in a temporary place."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from inferloom.cli.up.documents import KIND, ModelSpec, VersionSpec
from inferloom.cli.up.placement import Place
from inferloom.cli.up.repositories import Repositories
from inferloom.cli.up.supervisor import Supervisor
from inferloom.mesh.clock import ManualClock
from inferloom.mesh.registry.base import Document, DocumentKey
from inferloom.mesh.registry.memory import MemoryRegistry

HOST = "here/1"
IRIS = Path(__file__).parents[3] / "data/models/iris.onnx"


class FakeFleet:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.running: dict[str, Place] = {}
        self.log: list[str] = []

    async def add(self, place: Place, repository: Path) -> None:
        assert place.id not in self.running
        self.running[place.id] = place
        self.log.append(f"add {place.id}")

    async def remove(self, place_id: str) -> None:
        del self.running[place_id]
        self.log.append(f"remove {place_id}")

    async def close(self) -> None:
        self.running.clear()

    def trouble(self) -> dict[str, str]:
        return {}


class Bench:
    def __init__(self, root: Path, gpus: int = 0) -> None:
        self.root, self.fleet = root, FakeFleet()
        shutil.copyfile(IRIS, root / "iris.onnx")
        self.supervisor = Supervisor(
            MemoryRegistry(ManualClock()),
            Repositories(root / "repositories"),
            self.fleet,
            HOST,
            [f"GPU-{number}" for number in range(gpus)],
        )

    def spec(
        self, name: str, replicas: int = 1, gpus: int = 0, source: str = "iris.onnx", **versions: str
    ) -> ModelSpec:
        files = {number.lstrip("v"): VersionSpec(self.root / file) for number, file in versions.items()}
        return ModelSpec(name, files or {"1": VersionSpec(self.root / source)}, replicas, gpus, HOST)

    async def apply(self, *specs: ModelSpec) -> dict[str, str]:
        documents: dict[DocumentKey, Document] = {
            (KIND, spec.name): Document(KIND, spec.name, spec.to_json(), 1, "", 1.0) for spec in specs
        }
        await self.supervisor.apply(documents)
        return dict(self.supervisor.problems)

    def files(self) -> set[str]:
        root = self.root / "repositories"
        return {str(path.relative_to(root)) for path in root.rglob("model.onnx")}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_models_are_placed_filled_and_started_and_stopped(bench: Bench) -> None:
    assert await bench.apply(bench.spec("a", 2), bench.spec("b")) == {}
    assert bench.fleet.log == ["add triton-0", "add triton-1"]
    assert bench.files() == {"triton-0/a/1/model.onnx", "triton-1/a/1/model.onnx", "triton-0/b/1/model.onnx"}
    await bench.apply(bench.spec("a"))
    assert bench.fleet.log[2:] == ["remove triton-1"]
    assert {file for file in bench.files() if file.startswith("triton-0")} == {"triton-0/a/1/model.onnx"}


async def test_versions_come_and_go(bench: Bench) -> None:
    await bench.apply(bench.spec("a", v1="iris.onnx", v2="iris.onnx"))
    assert bench.files() == {"triton-0/a/1/model.onnx", "triton-0/a/2/model.onnx"}
    await bench.apply(bench.spec("a", v2="iris.onnx"))
    assert bench.files() == {"triton-0/a/2/model.onnx"}
    assert bench.fleet.log == ["add triton-0"]


async def test_a_model_that_cannot_be_placed_changes_nothing_of_the_others_on_its_triton(bench: Bench) -> None:
    problems = await bench.apply(bench.spec("a"), bench.spec("b", source="gone.onnx"), bench.spec("c"))
    assert list(problems) == ["b"]
    assert "gone.onnx" in problems["b"]
    assert bench.files() == {"triton-0/a/1/model.onnx", "triton-0/c/1/model.onnx"}
    assert await bench.apply(bench.spec("a"), bench.spec("b"), bench.spec("c")) == {}
    assert "triton-0/b/1/model.onnx" in bench.files()


async def test_documents_of_other_hosts_are_not_its_own(bench: Bench) -> None:
    assert await bench.apply(replace(bench.spec("a"), host="there/1")) == {}
    assert not bench.fleet.running


@pytest.mark.parametrize(
    "spec",
    [
        {"versions": []},
        {"versions": {}},
        {"replicas": 1},
        {"versions": {"1": {"source": None}}},
        {"versions": {"x": {"source": "a"}}},
        {"versions": {"1": {"source": "iris.onnx"}}, "replicas": None},
        {"versions": {"1": {"source": "iris.onnx"}}, "replicas": 1000},
    ],
)
async def test_a_document_that_cannot_be_read_is_a_problem_of_its_own(bench: Bench, spec: dict[str, object]) -> None:
    good = bench.spec("good")
    odd = Document(KIND, "odd", {**spec, "host": HOST}, 1, "", 1.0)
    theirs = Document(KIND, "theirs", {**spec, "host": "there/1"}, 1, "", 1.0)
    fine = Document(KIND, "good", good.to_json(), 1, "", 1.0)
    await bench.supervisor.apply({document.key: document for document in (odd, theirs, fine)})
    assert set(bench.supervisor.problems) == {"odd"}
    assert bench.fleet.running["triton-0"].models == {"good"}


async def test_a_document_of_a_newer_writer_keeps_what_was_understood_last(bench: Bench) -> None:
    await bench.apply(bench.spec("a"))
    newer = Document(KIND, "a", {**bench.spec("a").to_json(), "colour": "red"}, 2, "", 1.0)
    await bench.supervisor.apply({(KIND, "a"): newer})
    assert "unknown key 'colour'" in bench.supervisor.problems["a"]
    assert set(bench.fleet.running) == {"triton-0"}


async def test_too_many_gpus_are_reported_and_leave_what_runs_alone(tmp_path: Path) -> None:
    bench = Bench(tmp_path, gpus=2)
    await bench.apply(bench.spec("a", gpus=1))
    problems = await bench.apply(bench.spec("a", gpus=1), bench.spec("b", replicas=2, gpus=1))
    assert list(problems) == ["b"]
    assert set(bench.fleet.running) == {"a-gpu-0"}


async def test_a_triton_whose_gpus_change_is_started_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path, gpus=2)
    await bench.apply(bench.spec("a", gpus=1))
    await bench.apply(bench.spec("a", gpus=2))
    assert bench.fleet.log == ["add a-gpu-0", "remove a-gpu-0", "add a-gpu-0"]
    assert bench.fleet.running["a-gpu-0"].gpus == ("GPU-0", "GPU-1")
