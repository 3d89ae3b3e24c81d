"""Host processes that are killed, hang, or hold what does not stop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from inferloom.mesh.catalog import Replica
from inferloom.mesh.errors import DeadlineExceeded, InferloomError, NoReplica, Unreachable
from tests.support.host import WRITABLE, client, eventually, host_process, write_app
from tests.support.load import Load
from tests.support.router import Mesh, running_mesh

APP = """
    import asyncio
    import os
    import time
    from pathlib import Path

    from inferloom.sdk import service, step

    HERE = Path(__file__).parent


    def note(what: str, key: int) -> None:
        with (HERE / "log").open("a") as log:
            log.write(f"{what} {key} {os.getpid()}\\n")


    @service
    async def plain(key: int, seconds: float = 0.0) -> int:
        note("began", key)
        await asyncio.sleep(seconds)
        return os.getpid()


    @service(idempotent=True)
    async def idempotent(key: int, seconds: float = 0.0) -> int:
        note("began", key)
        await asyncio.sleep(seconds)
        return os.getpid()


    @service(effects=True)
    async def pays(key: int) -> int:
        note("paid", key)
        os._exit(1)


    @service
    async def blocks(seconds: float) -> int:
        time.sleep(seconds)
        return os.getpid()


    @service
    async def deaf(seconds: float) -> int:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                await asyncio.sleep(0.05)
            except asyncio.CancelledError:
                continue
        return os.getpid()


    @step(replicas=1)
    def grinds(seconds: float) -> int:
        time.sleep(seconds)
        return os.getpid()
"""


class Noted:
    """What the app wrote down."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "log"

    def of(self, key: int) -> list[tuple[str, int]]:
        """What happened to the call with this key, and in which process."""
        lines = [line.split() for line in self._path.read_text().splitlines()] if self._path.exists() else []
        return [(line[0], int(line[2])) for line in lines if int(line[1]) == key]


@pytest.fixture
def app(tmp_path: Path) -> str:
    return str(write_app(tmp_path / "faults.py", APP))


async def replicas(mesh: Mesh, name: str, count: int) -> None:
    await eventually(lambda: sum(r.usable for r in _known(mesh, name)) == count, 20)


def _known(mesh: Mesh, name: str) -> tuple[Replica, ...]:
    model = mesh.registry.catalog.models.get(name)
    return model.replicas if model is not None else ()


async def test_a_host_killed_while_it_answers_fails_what_may_not_be_repeated(app: str, tmp_path: Path) -> None:
    noted = Noted(tmp_path)
    async with (
        running_mesh(server=WRITABLE) as mesh,
        client(mesh.address) as caller,
        host_process(tmp_path, mesh.address, app, replica="one") as one,
        host_process(tmp_path, mesh.address, app, replica="two") as two,
    ):
        await replicas(mesh, "plain", 2)
        by_pid = {one.pid: one, two.pid: two}
        calling = asyncio.create_task(caller.infer("plain", {"key": 1, "seconds": 5.0}))
        await eventually(lambda: noted.of(1))
        by_pid[noted.of(1)[0][1]].kill()

        with pytest.raises((NoReplica, Unreachable)):
            await calling
        assert len(noted.of(1)) == 1
        assert (await caller.infer("plain", {"key": 2}))["result"].tolist() == [other(by_pid, noted.of(1)[0][1])]


async def test_what_is_idempotent_is_answered_by_the_other_host(app: str, tmp_path: Path) -> None:
    noted = Noted(tmp_path)
    async with (
        running_mesh(server=WRITABLE) as mesh,
        client(mesh.address) as caller,
        host_process(tmp_path, mesh.address, app, replica="one") as one,
        host_process(tmp_path, mesh.address, app, replica="two") as two,
    ):
        await replicas(mesh, "idempotent", 2)
        by_pid = {one.pid: one, two.pid: two}
        calling = asyncio.create_task(caller.infer("idempotent", {"key": 3, "seconds": 1.0}))
        await eventually(lambda: noted.of(3))
        killed = noted.of(3)[0][1]
        by_pid[killed].kill()

        assert (await calling)["result"].tolist() == [other(by_pid, killed)]
        assert len(noted.of(3)) == 2


async def test_what_has_effects_is_never_repeated(app: str, tmp_path: Path) -> None:
    async with (
        running_mesh(server=WRITABLE) as mesh,
        client(mesh.address) as caller,
        host_process(tmp_path, mesh.address, app, replica="one"),
        host_process(tmp_path, mesh.address, app, replica="two"),
    ):
        await replicas(mesh, "pays", 2)
        with pytest.raises(InferloomError):
            await caller.infer("pays", {"key": 4})
        await asyncio.sleep(0.5)
        assert len(Noted(tmp_path).of(4)) == 1


def other(by_pid: Mapping[int, object], pid: int) -> int:
    return next(each for each in by_pid if each != pid)


async def test_a_host_whose_loop_hangs_ends_itself_to_be_replaced(app: str, tmp_path: Path) -> None:
    async with (
        running_mesh(server=WRITABLE) as mesh,
        client(mesh.address) as caller,
        host_process(tmp_path, mesh.address, app, "--hang", "1", replica="hangs") as host,
    ):
        await replicas(mesh, "blocks", 1)
        began = time.monotonic()
        calling = asyncio.create_task(caller.infer("blocks", {"seconds": 60.0}))

        assert await host.ended() == 70
        assert time.monotonic() - began < 5
        with pytest.raises((NoReplica, Unreachable)):
            await calling
        assert "the event loop hangs" in host.said()
        assert "time.sleep(seconds)" in host.said()


async def test_code_that_blocks_for_less_is_left_alone(app: str, tmp_path: Path) -> None:
    async with (
        running_mesh(server=WRITABLE) as mesh,
        client(mesh.address) as caller,
        host_process(tmp_path, mesh.address, app, "--hang", "3") as host,
    ):
        await replicas(mesh, "blocks", 1)
        assert (await caller.infer("blocks", {"seconds": 1.0}))["result"].tolist() == [host.pid]


@pytest.mark.parametrize("name", ["deaf", "grinds"])
async def test_a_call_that_does_not_stop_is_ended_with_its_process(app: str, tmp_path: Path, name: str) -> None:
    async with (
        running_mesh(server=WRITABLE) as mesh,
        client(mesh.address) as caller,
        host_process(tmp_path, mesh.address, app, "--grace", "1", replica="bad") as host,
    ):
        await replicas(mesh, name, 1)
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            await caller.infer(name, {"seconds": 60.0}, timeout=0.5)
        assert time.monotonic() - began < 1.0
        meanwhile = asyncio.create_task(caller.infer("plain", {"key": 5, "seconds": 2.0}))

        assert await host.ended() == 70
        assert (await meanwhile)["result"].tolist() == [host.pid]
        assert "a call does not stop" in host.said()
        await eventually(lambda: not _known(mesh, name))


async def test_sigterm_drains_without_a_failed_call(app: str, tmp_path: Path) -> None:
    async with (
        running_mesh(server=WRITABLE) as mesh,
        client(mesh.address) as caller,
        host_process(tmp_path, mesh.address, app, "--only", "plain", replica="stays"),
        host_process(tmp_path, mesh.address, app, "--only", "plain", replica="leaves") as leaves,
    ):
        await replicas(mesh, "plain", 2)
        answered: list[int] = []

        async def send(number: int) -> None:
            answered.append(int((await caller.infer("plain", {"key": number, "seconds": 0.05}))["result"][0]))

        async with Load(send, 8) as load:
            await load.until(lambda: leaves.pid in answered[-50:])
            leaves.terminate()
            assert await leaves.ended() == 0
            done = load.answered
            await load.until(lambda: load.answered > done + 50)

        assert load.failures == []
        assert len(_known(mesh, "plain")) == 1
        assert "blocks" not in mesh.registry.catalog.models


async def test_a_host_started_again_under_its_name_is_used_at_once(app: str, tmp_path: Path) -> None:
    async with running_mesh(server=WRITABLE) as mesh, client(mesh.address) as caller:
        async with host_process(tmp_path, mesh.address, app, replica="same") as first:
            await replicas(mesh, "plain", 1)
            first.kill()
            await first.ended()
        async with host_process(tmp_path, mesh.address, app, replica="same") as second:
            await eventually(lambda: f"grpc={mesh.endpoint('plain', 'same').replica.address}" in second.ready)
            assert (await caller.infer("plain", {"key": 6}))["result"].tolist() == [second.pid]
