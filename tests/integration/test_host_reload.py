"""A host whose files change, and one that drains, while calls go on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from inferloom.clients.aio import MeshClient
from inferloom.mesh.catalog import State
from inferloom.mesh.errors import InferloomError, ModelNotFound
from tests.support.host import client, eventually, running_host, write_app
from tests.support.load import Load
from tests.support.router import Mesh, running_mesh

APP = """
    import asyncio
    from collections.abc import AsyncIterator

    from inferloom.sdk import resource, service

    from words import WORD

    log = []


    @resource
    async def pool() -> AsyncIterator[list[str]]:
        words = ["open"]
        yield words
        words.append("closed")


    @service
    class Says:
        async def start(self) -> None:
            self.words = pool.value

        async def predict(self, seconds: float = 0.0) -> str:
            await asyncio.sleep(seconds)
            return f"{WORD} {self.words[-1]}"

        async def close(self) -> None:
            self.words.append("stopped")


    @service
    async def gone(x: int) -> int:
        return x
"""


def words(folder: Path, word: str) -> None:
    (folder / "words.py").write_text(f"WORD = {word!r}\n")


async def says(caller: MeshClient, seconds: float = 0.0) -> str:
    return str((await caller.infer("Says", {"seconds": seconds})).text("result")[0])


@pytest.fixture
def app(tmp_path: Path) -> Path:
    words(tmp_path, "one")
    return write_app(tmp_path / "reloads.py", APP)


async def test_new_code_answers_within_two_seconds_and_no_call_fails(app: Path) -> None:
    async with running_mesh() as mesh, running_host(mesh.registry, app, reload=True), client(mesh.address) as caller:
        await eventually(lambda: "Says" in mesh.router.pool.groups)
        heard: list[str] = []

        async def send(_: int) -> None:
            heard.append(await says(caller, 0.02))

        async with Load(send, 8) as load:
            await load.until(lambda: load.answered > 50)
            words(app.parent, "two")  # a file that the app imports
            assert await load.until(lambda: heard[-1] == "two open") < 2.0
            app.write_text(app.read_text().replace('f"{WORD}', 'f"new {WORD}'))
            assert await load.until(lambda: heard[-1] == "new two open") < 2.0
            before = load.answered
            await load.until(lambda: load.answered > before + 50)

        assert load.failures == []
        assert set(heard) == {"one open", "two open", "new two open"}


async def test_a_call_under_way_ends_with_the_code_it_began_with(app: Path) -> None:
    async with running_mesh() as mesh, running_host(mesh.registry, app, reload=True), client(mesh.address) as caller:
        await eventually(lambda: "Says" in mesh.router.pool.groups)
        long = asyncio.create_task(says(caller, 1.5))
        await asyncio.sleep(0.1)
        words(app.parent, "two")
        while await says(caller) != "two open":
            await asyncio.sleep(0.02)

        assert not long.done()
        assert await long == "one open"


async def test_a_file_that_does_not_import_keeps_the_old_code_and_shows_why(app: Path) -> None:
    async with (
        running_mesh() as mesh,
        running_host(mesh.registry, app, reload=True) as host,
        client(mesh.address) as caller,
    ):
        await eventually(lambda: "Says" in mesh.router.pool.groups)
        for broken, problem in (
            ("WORD = = 1", "words.py:1: SyntaxError: invalid syntax"),
            ("\nWORD = other", "words.py:2: NameError: name 'other' is not defined"),
            ("raise SystemExit(3)", "words.py:1: the file ends the process while it is imported (SystemExit: 3)"),
        ):
            (app.parent / "words.py").write_text(broken)
            await eventually(lambda problem=problem: host.problems.get("") == problem)  # type: ignore[misc]
            assert await says(caller) == "one open"
            replica = mesh.registry.catalog.models["Says"].replicas[0]
            assert (replica.state, replica.problem) == (State.SERVING, problem)

        words(app.parent, "two")
        await eventually(lambda: host.problems == {})
        assert await says(caller) == "two open"
        assert mesh.registry.catalog.models["Says"].replicas[0].problem == ""


async def test_a_service_that_does_not_start_keeps_the_old_code(app: Path) -> None:
    async with (
        running_mesh() as mesh,
        running_host(mesh.registry, app, reload=True) as host,
        client(mesh.address) as caller,
    ):
        await eventually(lambda: "Says" in mesh.router.pool.groups)
        app.write_text(app.read_text().replace("self.words = pool.value", "raise OSError('no disk')"))
        await eventually(lambda: host.problems != {})

        assert host.problems[""].endswith("service 'Says' does not start: OSError: no disk")
        assert await says(caller) == "one open"


async def test_a_service_that_is_taken_out_of_the_file_leaves_without_a_failed_call(app: Path) -> None:
    async with running_mesh() as mesh, running_host(mesh.registry, app, reload=True), client(mesh.address) as caller:
        await eventually(lambda: "gone" in mesh.router.pool.groups)
        refused: list[InferloomError] = []

        async def send(_: int) -> None:
            try:
                await caller.infer("gone", {"x": 1})
            except InferloomError as error:
                refused.append(error)
                await asyncio.sleep(0.05)

        async with Load(send, 4) as load:
            await load.until(lambda: load.answered > 20)
            text = app.read_text()
            app.write_text(text[: text.index("@service\nasync def gone")])
            await load.until(lambda: "gone" not in mesh.registry.catalog.models)
            await load.until(lambda: bool(refused) and isinstance(refused[-1], ModelNotFound))

        assert {type(error).__name__ for error in refused} <= {"ModelNotFound", "NoReplica"}
        assert not any("UNKNOWN" in str(error) for error in refused)


async def test_changed_arguments_are_learnt_by_callers(app: Path) -> None:
    async with running_mesh() as mesh, running_host(mesh.registry, app, reload=True):
        await eventually(lambda: "gone" in mesh.router.pool.groups)
        before = mesh.registry.catalog.models["gone"].replicas[0].generation
        app.write_text(app.read_text().replace("x: int) -> int", "x: int, y: int = 1) -> int"))
        await eventually(lambda: mesh.registry.catalog.models["gone"].replicas[0].generation == before + 1)
        assert mesh.registry.catalog.models["Says"].replicas[0].generation == before


async def test_old_resources_and_instances_are_closed_once_replaced(app: Path) -> None:
    import sys

    async with running_mesh() as mesh, running_host(mesh.registry, app, reload=True):
        await eventually(lambda: "Says" in mesh.router.pool.groups)
        pool = sys.modules["reloads"].pool
        opened = pool.value
        words(app.parent, "two")
        await eventually(lambda: opened == ["open", "stopped", "closed"])
        assert not pool.is_open
        assert sys.modules["reloads"].pool.value == ["open"]


async def test_a_drained_host_fails_no_call(app: Path) -> None:
    async with (
        running_mesh() as mesh,
        client(mesh.address) as caller,
        running_host(mesh.registry, app, replica_id="stays"),
    ):
        await eventually(lambda: "Says" in mesh.router.pool.groups)

        async def send(_: int) -> None:
            await says(caller, 0.05)

        async with Load(send, 8) as load:
            await _second(mesh, app, load)
            await load.until(lambda: len(mesh.registry.catalog.models["Says"].replicas) == 1)

        assert load.failures == []
        assert load.answered > 50


async def _second(mesh: Mesh, app: Path, load: Load) -> None:
    async with running_host(mesh.registry, app, replica_id="leaves"):
        await load.until(lambda: len(mesh.registry.catalog.models["Says"].replicas) == 2)
        leaving = mesh.endpoint("Says", "leaves")
        await load.until(lambda: leaving.load.requests > 20)


async def test_a_resource_that_fails_its_check_takes_the_services_out_until_it_is_well(tmp_path: Path) -> None:
    app = write_app(
        tmp_path / "checked.py",
        """
        from collections.abc import Iterator
        from inferloom.sdk import resource, service

        def check(value: list[str]) -> bool:
            return "broken" not in value

        @resource(check=check)
        def store() -> Iterator[list[str]]:
            yield []

        @service
        async def uses(x: int) -> int:
            if x == 1:
                store.value.append("broken")
            if x == 2:
                store.value.clear()
            return len(store.value)
        """,
    )
    async with (
        running_mesh() as mesh,
        running_host(mesh.registry, app, check_every=0.05),
        client(mesh.address) as caller,
    ):
        await eventually(lambda: "uses" in mesh.router.pool.groups)
        assert (await caller.infer("uses", {"x": 1}))["result"].tolist() == [1]
        await eventually(lambda: not mesh.registry.catalog.models["uses"].ready)
        replica = mesh.registry.catalog.models["uses"].replicas[0]
        assert (replica.state, "failed its check" in replica.problem) == (State.DRAINING, True)
        import sys

        sys.modules["checked"].store.value.clear()
        await eventually(lambda: mesh.registry.catalog.models["uses"].ready)
        assert (await caller.infer("uses", {"x": 0}))["result"].tolist() == [0]


async def test_what_does_not_start_is_tried_again_and_told_meanwhile(tmp_path: Path) -> None:
    from inferloom.services.host.config import HostConfig
    from inferloom.services.host.host import Host

    flag = tmp_path / "there"
    app = write_app(
        tmp_path / "late.py",
        f"""
        from pathlib import Path
        from inferloom.sdk import service

        @service
        class Late:
            async def start(self) -> None:
                if not Path({str(flag)!r}).exists():
                    raise OSError("the database is not there")

            async def predict(self, x: int) -> int:
                return x
        """,
    )
    async with running_mesh() as mesh:
        host = Host(HostConfig(app=str(app), watch_lag=0.0, hang=0.0), mesh.registry)
        running = asyncio.create_task(host.run())
        await eventually(lambda: "Late" in mesh.registry.catalog.models)
        replica = mesh.registry.catalog.models["Late"].replicas[0]
        assert replica.state is State.STARTING
        assert replica.problem.endswith("service 'Late' does not start: OSError: the database is not there")
        flag.touch()
        await eventually(lambda: mesh.registry.catalog.models["Late"].ready)
        assert mesh.registry.catalog.models["Late"].replicas[0].problem == ""
        await host.drain()
        assert await running == 0
        assert "Late" not in mesh.registry.catalog.models
