"""What `up` writes into a registry that it may share."""

from __future__ import annotations

from inferloom.cli.up.documents import SPLIT
from inferloom.cli.up.owned import Mine, write
from inferloom.mesh.registry.memory import MemoryRegistry
from inferloom.mesh.split import Split, settled

ARMS = ("a", "b", "c")
USERS = [f"u{number}" for number in range(300)]


def spec(*shares: float) -> dict[str, object]:
    return {"arms": [{"name": name, "share": share} for name, share in zip(ARMS, shares, strict=True)], "by": "user"}


def arms(of: dict[str, object]) -> list[str]:
    split = Split.from_json("iris", of)
    return [split.arm(user).name for user in USERS]


async def test_a_split_that_mesh_yaml_changes_moves_nobody_without_need_even_after_an_end() -> None:
    registry, mine = MemoryRegistry(), Mine("here", alone=True)
    await registry.documents.put(SPLIT, "iris", settled("iris", spec(60, 20, 20), None))
    before = arms(dict((await registry.documents.history(SPLIT, "iris"))[0].spec or {}))
    await registry.documents.put(SPLIT, "iris", None)  # as the last run did when it ended
    fresh = settled("iris", spec(20, 20, 60), None)
    await write(registry, {(SPLIT, "iris"): fresh}, mine)
    written = await registry.documents.get(SPLIT, "iris")
    assert written is not None
    now = arms(dict(written.spec or {}))
    assert all(was in (is_, "a") for was, is_ in zip(before, now, strict=True))  # the arm that shrinks alone gives up
    assert now.count("c") > before.count("c")
    assert any(was not in (is_, "a") for was, is_ in zip(before, arms(fresh), strict=True))  # without: others move


async def test_a_split_is_written_as_it_is_where_there_was_none() -> None:
    registry = MemoryRegistry()
    fresh = settled("iris", spec(20, 60, 20), None)
    await write(registry, {(SPLIT, "iris"): fresh}, Mine("here", alone=True))
    written = await registry.documents.get(SPLIT, "iris")
    assert written is not None
    assert written.spec == fresh


async def test_a_former_split_that_cannot_be_read_does_not_keep_the_mesh_from_starting() -> None:
    registry = MemoryRegistry()
    await registry.documents.put(SPLIT, "iris", {"arms": "of a newer inferloom"})
    fresh = settled("iris", spec(20, 60, 20), None)
    await write(registry, {(SPLIT, "iris"): fresh}, Mine("here", alone=True))
    written = await registry.documents.get(SPLIT, "iris")
    assert written is not None
    assert written.spec == fresh
