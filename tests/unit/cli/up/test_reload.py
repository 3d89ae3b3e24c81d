"""Following the files: one look at a time, with a description that the test gives."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from inferloom.cli.up.declared import Declared
from inferloom.cli.up.describe import AppDescription
from inferloom.cli.up.expand import Wanted
from inferloom.cli.up.meshfile import MeshFile
from inferloom.cli.up.meshfile_hosted import AppEntry
from inferloom.cli.up.owned import Mine, write
from inferloom.cli.up.reload import Reload
from inferloom.cli.up.service_spec import AppSpec, ServiceSpec, ServiceVersion
from inferloom.mesh.clock import ManualClock
from inferloom.mesh.errors import InvalidInput
from inferloom.mesh.registry.memory import MemoryRegistry

HOST = "here/1"


class Bench:
    def __init__(self, folder: Path) -> None:
        self.path = folder / "app.py"
        self.path.write_text("# 0")
        self.registry = MemoryRegistry(ManualClock())
        self.mine = Mine(HOST, alone=True)
        self.said: list[str] = []
        self.changed: list[Wanted] = []
        self.kicks = 0
        self.answer: AppDescription | InvalidInput = self.described("A")
        self.first = Declared(MeshFile(apps=(AppEntry(self.path),)), {self.path: self.described("A")})
        self._edits = 0

    def described(self, *services: str, path: Path | None = None, **graphs: dict[str, object]) -> AppDescription:
        source = path or self.path
        specs = {name: ServiceSpec(name, {"1": ServiceVersion(source)}) for name in services}
        return AppDescription(source, specs, {}, graphs)

    async def start(self) -> Reload:
        await write(self.registry, self.first.documents(HOST), self.mine)
        return Reload(
            self.registry,
            self.first,
            HOST,
            self.mine,
            changed=self.changed.append,
            kick=self._kick,
            say=self.said.append,
            ask=self._ask,
        )

    def edit(self, answer: AppDescription | InvalidInput) -> None:
        self.answer = answer
        self._edits += 1
        self.path.write_text(f"# {self._edits}")
        os.utime(self.path, ns=(self._edits * 10**9, self._edits * 10**9))

    async def names(self) -> list[str]:
        documents = await anext(aiter(self.registry.documents.watch()))
        return sorted(name for kind, name in documents if kind != "app")

    def _kick(self) -> None:
        self.kicks += 1

    async def _ask(self, path: Path) -> AppDescription:
        if path not in (self.path, self.path.resolve()):
            return self.described("A", path=path)
        if isinstance(self.answer, InvalidInput):
            raise self.answer
        return self.answer


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_what_is_declared_anew_comes_and_what_is_not_goes(bench: Bench) -> None:
    reload = await bench.start()
    bench.edit(bench.described("B", digits={"nodes": []}))
    await reload.look()
    assert await bench.names() == ["A"]  # it might just be being written
    await reload.look()
    assert await bench.names() == ["B", "digits"]
    assert bench.said == ["service A is declared no longer", "service B is new", "pipeline digits is new"]
    assert sorted(name for _, name in bench.changed[-1]) == ["B", "app", "digits"]


async def test_a_change_of_the_code_alone_changes_no_document(bench: Bench) -> None:
    reload = await bench.start()
    before = await bench.registry.documents.get("service", "A")
    bench.edit(bench.described("A"))
    await reload.look()
    await reload.look()
    assert await bench.registry.documents.get("service", "A") == before
    assert (bench.said, bench.kicks) == ([], 1)


async def test_a_file_that_does_not_import_changes_nothing_and_is_told_once(bench: Bench) -> None:
    reload = await bench.start()
    for _ in range(2):
        bench.edit(InvalidInput("app.py:3: SyntaxError: invalid syntax"))
        await reload.look()
        await reload.look()
    assert await bench.names() == ["A"]
    assert bench.said == ["app.py:3: SyntaxError: invalid syntax; what ran before goes on"]
    bench.edit(bench.described("A"))
    await reload.look()
    await reload.look()
    assert bench.said[1:] == ["the file is in order again"]


async def test_a_file_that_declares_nothing_any_more_is_taken_for_a_mistake(bench: Bench) -> None:
    reload = await bench.start()
    bench.edit(bench.described())
    await reload.look()
    await reload.look()
    assert await bench.names() == ["A"]
    assert "declares no @service and no @pipeline; what ran before goes on" in bench.said[0]


async def test_versions_that_others_added_stay(bench: Bench) -> None:
    reload = await bench.start()
    spec = ServiceSpec("A", {n: ServiceVersion(bench.path, int(n)) for n in ("1", "2")}, HOST)
    await bench.registry.documents.put("service", "A", spec.to_json())
    found = bench.described("A")
    more = ServiceSpec("A", {"1": ServiceVersion(bench.path, cpus=4)})
    bench.edit(replace(found, services={"A": more}))
    await reload.look()
    await reload.look()
    document = await bench.registry.documents.get("service", "A")
    assert document is not None
    assert document.spec is not None
    kept = ServiceSpec.from_json("A", document.spec).versions
    assert {number: (version.replicas, version.cpus) for number, version in kept.items()} == {"2": (2, 0), "1": (1, 4)}


async def test_a_file_that_was_added_to_the_mesh_is_followed_too(bench: Bench, tmp_path: Path) -> None:
    reload = await bench.start()
    (tmp_path / "other").mkdir()
    bench.path = tmp_path / "other" / "more.py"
    bench.path.write_text("# more")
    bench.mine.specs = {("app", "more"): AppSpec("more", bench.path, HOST).to_json()}
    bench.answer = bench.described("B")
    await reload.look()
    assert await bench.names() == ["A"]  # `add` has written it, or not
    bench.edit(bench.described("B", "C"))
    await reload.look()
    await reload.look()
    assert await bench.names() == ["A", "C"]
    assert bench.changed == []
