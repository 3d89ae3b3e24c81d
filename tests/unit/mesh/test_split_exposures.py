"""Who was shown which arm: to subscribers and to a file."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from inferloom.mesh.clock import ManualClock
from inferloom.mesh.errors import ConfigError
from inferloom.mesh.splits.exposure import BACKLOG, Exposure, Exposures
from inferloom.mesh.splits.log import ExposureLog


def exposure(number: int = 0, split: str = "iris") -> Exposure:
    return Exposure(split, f"{number:016x}", "1", "1", 0.9, False, 1.7e9, f"r{number}", (), "OK", 0.002)


async def test_a_subscriber_gets_the_exposures_of_its_split_and_none_after_it_has_left() -> None:
    exposures = Exposures()
    async with exposures.subscribed("iris") as subscription:
        exposures.record(exposure(1, "other"))
        exposures.record(exposure(2))
        got = await anext(aiter(subscription))
    assert got == exposure(2)
    assert exposures.sinks == ()


async def test_a_subscriber_that_is_too_slow_misses_some_and_is_told_how_many() -> None:
    exposures = Exposures()
    async with exposures.subscribed() as subscription:
        for number in range(BACKLOG + 3):
            exposures.record(exposure(number))
        assert subscription.dropped == 3
        assert await anext(aiter(subscription)) == exposure(0)


async def test_the_file_gets_a_line_of_json_for_each_within_a_second(tmp_path: Path) -> None:
    clock, path = ManualClock(), tmp_path / "logs" / "exposures.jsonl"
    sink = ExposureLog(path, clock=clock)
    await sink.start()
    sink.record(exposure(1))
    sink.record(exposure(2))
    assert path.read_text() == ""
    await clock.advance(1.0)
    while not path.read_text():
        await asyncio.sleep(0)
    assert [json.loads(line)["request_id"] for line in path.read_text().splitlines()] == ["r1", "r2"]
    assert json.loads(path.read_text().splitlines()[0]) == {**exposure(1)._asdict(), "mirrored": []}
    await sink.close()


async def test_what_waits_is_written_at_the_close(tmp_path: Path) -> None:
    sink = ExposureLog(tmp_path / "e.jsonl", clock=ManualClock())
    await sink.start()
    sink.record(exposure(1))
    await sink.close()
    assert len((tmp_path / "e.jsonl").read_text().splitlines()) == 1


async def test_a_full_file_is_renamed_and_the_oldest_goes(tmp_path: Path) -> None:
    sink = ExposureLog(tmp_path / "e.jsonl", largest=300, kept=2, clock=ManualClock())
    await sink.start()
    for number in range(8):
        sink.record(exposure(number))
        await sink.flush()
    await sink.close()
    found = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert sorted(found) == ["e.jsonl", "e.jsonl.1", "e.jsonl.2"]
    assert all(len(text) <= 300 for text in found.values())
    assert "r7" in found["e.jsonl"]
    assert "r0" not in "".join(found.values())


async def test_more_than_the_disk_takes_is_dropped_and_counted(tmp_path: Path) -> None:
    sink = ExposureLog(tmp_path / "e.jsonl", backlog=2, clock=ManualClock())
    await sink.start()
    for number in range(5):
        sink.record(exposure(number))
    assert sink.dropped == 3
    await sink.close()


async def test_a_disk_that_fails_later_costs_exposures_and_no_request(tmp_path: Path) -> None:
    sink = ExposureLog(tmp_path / "gone" / "e.jsonl", clock=ManualClock())
    await sink.start()
    (tmp_path / "gone" / "e.jsonl").unlink()
    (tmp_path / "gone").rmdir()
    sink.record(exposure(1))
    await sink.close()
    assert sink.dropped == 1


async def test_a_file_that_cannot_be_written_is_refused_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--exposures: cannot write"):
        await ExposureLog(tmp_path).start()
