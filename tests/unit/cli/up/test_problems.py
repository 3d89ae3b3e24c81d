"""Problems of documents: told under their names, and believed once they have stood."""

from __future__ import annotations

from dataclasses import replace

from inferloom.cli.up.problems import Problems, Standing, problems_in
from inferloom.mesh.catalog import EMPTY, Catalog, Kind, Replica, State
from inferloom.mesh.clock import ManualClock
from inferloom.mesh.registry.base import Document
from inferloom.mesh.registry.memory import MemoryRegistry
from inferloom.mesh.registry.tenants import GONE

WAITS = Replica("p", "a", "h", 1, State.STARTING, problem="no model 'x'", kind=Kind.PIPELINE)


def document(kind: str, name: str, number: int = 1, **spec: object) -> Document:
    return Document(kind, name, spec, number, "ada", 1.0)


async def test_a_problem_is_a_document_that_names_the_version_and_goes_with_it() -> None:
    registry = MemoryRegistry(ManualClock())
    problems = Problems(registry, "service", "here")
    documents = {("service", "A"): document("service", "A", 3)}
    problems.add("A", "no GPU")
    problems.add("B", "not here")
    await problems.tell(documents)
    told = await registry.documents.get("problem", "A")
    assert told is not None
    assert told.spec == {"why": "no GPU", "version": 3}
    assert await registry.documents.get("problem", "B") is None
    problems.found.clear()
    await problems.tell(documents)
    assert await registry.documents.get("problem", "A") is None


def test_what_was_said_of_an_older_version_does_not_count() -> None:
    found = problems_in(
        {
            ("pipeline", "p"): document("pipeline", "p", 2),
            ("model", "m"): document("model", "m", 1),
            ("problem", "p"): document("problem", "p", why="old", version=1),
            ("problem", "m"): document("problem", "m", why="new", version=1),
        }
    )
    assert found == {"m": "new"}


async def test_a_pipelines_problem_counts_once_it_has_stood() -> None:
    clock = ManualClock()
    standing = Standing(clock)
    catalog = Catalog.build([WAITS])
    assert standing.long(catalog) == {}
    await clock.advance(1.0)
    assert standing.long(EMPTY) == {}  # it has passed
    assert standing.long(catalog) == {}
    await clock.advance(1.0)
    assert standing.long(catalog) == {}
    await clock.advance(1.0)
    assert standing.long(catalog) == {"p": "no model 'x'"}


async def test_one_that_goes_on_as_it_was_counts_where_that_is_asked_for() -> None:
    clock = ManualClock()
    standing = Standing(clock)
    serving = Catalog.build([WAITS, replace(WAITS, id="b", state=State.SERVING)])
    for _ in range(2):
        found = standing.long(serving), standing.long(serving, served=True)
        await clock.advance(2.0)
    assert found == ({}, {})
    standing.long(serving, served=True)
    await clock.advance(2.0)
    assert standing.long(serving, served=True) == {"p": "no model 'x'"}


async def test_a_pipelines_process_that_has_gone_is_no_problem_of_the_pipeline() -> None:
    clock = ManualClock()
    standing = Standing(clock)
    catalog = Catalog.build([replace(WAITS, problem=GONE)])
    standing.long(catalog, served=True)
    await clock.advance(2.0)
    assert standing.long(catalog, served=True) == {}
