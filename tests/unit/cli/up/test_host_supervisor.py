"""The host supervisor with a fleet that starts nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inferloom.cli.up.host_supervisor import HostSupervisor
from inferloom.cli.up.hosting import HostPlace
from inferloom.cli.up.owned import Mine
from inferloom.cli.up.service_spec import AppSpec, ServiceSpec, ServiceVersion
from inferloom.mesh.clock import ManualClock
from inferloom.mesh.registry.base import Document, DocumentKey
from inferloom.mesh.registry.memory import MemoryRegistry

HOST = "here/1"
APP = Path("/a/app.py")


class FakeFleet:
    def __init__(self) -> None:
        self.applied: list[list[str]] = []

    async def apply(self, places: Mapping[str, HostPlace]) -> None:
        self.applied.append(sorted(places))

    def trouble(self) -> Mapping[str, str]:
        return {}


class Bench:
    def __init__(self, *, shared: bool = True, alone: bool = True, gpus: int = 0, taken: tuple[str, ...] = ()) -> None:
        self.fleet = FakeFleet()
        fleet: Any = self.fleet
        self.supervisor = HostSupervisor(
            MemoryRegistry(ManualClock()),
            fleet,
            Mine(HOST, alone=alone),
            HOST,
            shared=shared,
            gpus=[str(number) for number in range(gpus)],
            taken=lambda: taken,
        )
        self.documents: dict[DocumentKey, Document] = {}

    def put(self, kind: str, name: str, spec: Mapping[str, Any] | None) -> None:
        if spec is None:
            del self.documents[kind, name]
        else:
            self.documents[kind, name] = Document(kind, name, spec, 1, "ada", 1.0)

    def service(self, name: str, host: str = HOST, **options: Any) -> None:
        self.put("service", name, ServiceSpec(name, {"1": ServiceVersion(APP, **options)}, host).to_json())

    async def apply(self) -> list[str]:
        await self.supervisor.apply(self.documents)
        return sorted(self.supervisor.places)


async def test_services_come_and_go_with_their_documents() -> None:
    bench = Bench()
    bench.service("A")
    assert await bench.apply() == ["host-app"]
    bench.service("B", replicas=2)
    assert await bench.apply() == ["B-0", "B-1", "host-app"]
    bench.put("service", "A", None)
    assert await bench.apply() == ["B-0", "B-1"]
    assert bench.fleet.applied == [["host-app"], ["B-0", "B-1", "host-app"], ["B-0", "B-1"]]


async def test_what_has_nothing_to_do_with_hosts_disturbs_nobody() -> None:
    bench = Bench()
    bench.service("A")
    await bench.apply()
    bench.put("model", "iris", {"versions": {}})
    bench.put("problem", "iris", {"why": "x"})
    await bench.apply()
    assert len(bench.fleet.applied) == 1


async def test_the_first_pipeline_starts_a_process_that_has_the_steps() -> None:
    bench = Bench(shared=False)
    bench.put("app", "app", AppSpec("app", APP, HOST).to_json())
    assert await bench.apply() == []
    bench.put("pipeline", "digits", {"nodes": []})
    assert await bench.apply() == ["pipelines"]
    assert bench.supervisor.places["pipelines"].sources == (APP,)


async def test_services_of_another_mesh_are_left_to_it() -> None:
    bench = Bench(alone=False)
    bench.service("A", host="there/2")
    assert await bench.apply() == []


async def test_a_document_that_cannot_be_read_is_told_and_leaves_what_runs() -> None:
    bench = Bench()
    bench.service("A")
    bench.service("B")
    await bench.apply()
    bench.put("service", "A", {"versions": {"1": {}}, "host": HOST})
    await bench.apply()
    assert list(bench.supervisor.problems) == ["A"]
    assert bench.supervisor.places["host-app"].services == ("A", "B")


async def test_a_service_for_which_there_are_no_gpus_is_told_and_changes_nothing() -> None:
    bench = Bench(gpus=2, taken=("0",))
    bench.service("A", gpus=1)
    await bench.apply()
    assert bench.supervisor.gpus == {"1"}
    bench.service("B", gpus=1)
    assert await bench.apply() == ["A-0"]
    assert "2 GPUs are asked for, and 1 are free here" in bench.supervisor.problems["B"]
