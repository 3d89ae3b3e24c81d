from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from inferloom.mesh.catalog import Catalog, Replica
from inferloom.mesh.clock import ManualClock
from inferloom.mesh.registry.consul.parse import Entry, Status, entry, parse, status
from inferloom.mesh.registry.consul.saver import Saver
from inferloom.mesh.registry.snapshot import SnapshotFile, file_name, state_folder

A, B = Replica("iris", "a", "h", 1), Replica("iris", "b", "h", 2, healthy=False)


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    file = SnapshotFile(tmp_path / "new" / "folder" / "snapshot.json")
    assert file.load() is None
    file.save([A, B], 1234.5)
    loaded = file.load()
    assert loaded is not None
    assert loaded.replicas == (A, B)
    assert loaded.confirmed == pytest.approx(1234.5)
    file.confirm(2000.0)
    assert [path.name for path in file.path.parent.iterdir()] == ["snapshot.json"]
    assert (again := file.load()) is not None
    assert again.confirmed == 2000.0


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b'{"format":2,"replicas":[]}', b'{"format":1,"replicas":{}}'])
def test_a_file_that_is_not_understood_is_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "snapshot.json"
    path.write_bytes(content)
    assert SnapshotFile(path).load() is None


def test_one_record_that_is_not_understood_does_not_cost_the_others(tmp_path: Path) -> None:
    file = SnapshotFile(tmp_path / "snapshot.json")
    file.save([A, B], 1.0)
    found = json.loads(file.path.read_text())
    found["replicas"][0]["state"] = "quantum"
    found["replicas"] += [7, None]
    file.path.write_text(json.dumps(found))
    assert (loaded := file.load()) is not None
    assert loaded.replicas == (B,)


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = SnapshotFile(tmp_path / "snapshot.json")
    file.save([A], 1.0)

    def fail(*_: object) -> None:
        raise OSError(28, "no space left")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="no space left"):
        file.save([B], 2.0)
    assert (loaded := file.load()) is not None
    assert loaded.replicas == (A,)
    assert len(list(tmp_path.iterdir())) == 1


def test_the_folder_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("INFERLOOM_STATE", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert state_folder() == tmp_path / "inferloom" / "registry"
    monkeypatch.setenv("INFERLOOM_STATE", str(tmp_path / "own"))
    assert state_folder() == tmp_path / "own" / "registry"
    assert file_name("consul", "[::1]:8500", "inferloom") == "consul-1-8500-inferloom.json"


async def test_changes_are_written_once_they_have_settled_and_the_rest_at_the_end(tmp_path: Path) -> None:
    clock, file = ManualClock(), SnapshotFile(tmp_path / "snapshot.json")
    saver = Saver(file, clock)
    first = Catalog.build([A])
    saver.confirmed(first)
    await clock.advance(0.9)
    assert file.load() is None
    second = Catalog.build([A, replace(B, healthy=True)], first)
    saver.confirmed(second)
    await saver.close()
    assert (loaded := file.load()) is not None
    assert len(loaded.replicas) == 2
    assert loaded.confirmed == pytest.approx(clock.wall())


async def test_answers_small_and_large_are_parsed_alike() -> None:
    for number in (3, 5000):
        keys = [{"Key": f"k{n}", "ModifyIndex": n, "Value": "eA==", "Flags": 0} for n in range(number)]
        found = await parse(json.dumps(keys).encode(), entry, Entry)
        assert found[2] == Entry("k2", 2, "eA==")
        assert len(found) == number
    checks: list[dict[str, object]] = [
        {"CheckID": "c", "ServiceID": "s", "Status": state, "Definition": {}} for state in ("critical", "warning")
    ]
    assert await parse(json.dumps(checks).encode(), status, Status) == [Status("s", False), Status("s", True)]
    assert await parse(b"", entry, Entry) == []


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'["x"]', b'[{"ModifyIndex":1}]', b"\xff"])
async def test_an_answer_that_is_no_list_of_keys_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        await parse(body, entry, Entry)
