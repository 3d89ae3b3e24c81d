"""Child processes: their output, their end, and what they leave behind (nothing)."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from inferloom.mesh.errors import ConfigError
from inferloom.mesh.process import explain, guarded, start

SHELL = ["/bin/sh", "-c"]


def lines() -> tuple[asyncio.Queue[str], Callable[[str], None]]:
    queue: asyncio.Queue[str] = asyncio.Queue()
    return queue, queue.put_nowait


def alive(pid: int) -> bool:
    """Whether it runs; a zombie that nobody has fetched yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def until_dead(pid: int) -> None:
    async with asyncio.timeout(5):
        while alive(pid):
            await asyncio.sleep(0)


async def test_output_goes_to_the_callback_the_log_and_the_tail(tmp_path: Path) -> None:
    said, on_line = lines()
    log = tmp_path / "log"
    child = await start([*SHELL, "echo one; echo two >&2; printf three"], on_line=on_line, log_path=log)
    assert await child.wait() == 0
    assert [said.get_nowait() for _ in range(3)] == ["one", "two", "three"] == child.tail
    assert log.read_text() == "one\ntwo\nthree"
    assert repr(child) == f"<Child sh pid={child.pid} ended with 0>"


async def test_only_the_environment_given_is_passed_on() -> None:
    child = await start([*SHELL, "echo $A$HOME"], env={"A": "a"})
    await child.wait()
    assert child.tail == ["a"]


async def test_stop_asks_first_and_is_idempotent() -> None:
    said, on_line = lines()
    child = await start([*SHELL, "trap 'exit 3' TERM; sleep 600 & echo up; wait"], on_line=on_line)
    await said.get()
    assert await child.stop(5) == 3
    assert await child.stop(5) == 3
    assert child.why() == "sh ended with code 3: up"


async def test_stop_kills_who_does_not_listen() -> None:
    said, on_line = lines()
    child = await start([*SHELL, "trap '' TERM; echo up; while :; do read x </dev/zero; done"], on_line=on_line)
    await said.get()
    assert await child.stop(0.0) == -signal.SIGKILL
    assert child.why() == "sh was ended by SIGKILL"


async def test_a_grandchild_ends_with_the_child() -> None:
    said, on_line = lines()
    child = await start([*SHELL, "sleep 600 & echo $!; exit 4"], on_line=on_line)
    grandchild = int(await said.get())
    assert await child.wait() == 4
    await until_dead(grandchild)


PARENT = """
import asyncio, os, sys
from inferloom.mesh import process
if sys.argv[1] == "python":
    process._setpriv = lambda: None
async def main():
    show = lambda line: print(line, child.pid, flush=True)
    child = await process.start(["/bin/sh", "-c", "sleep 600 & echo $!; wait"], on_line=show)
    await child.wait()
asyncio.run(main())
"""


@pytest.mark.parametrize("guard", ["setpriv", "python"])
async def test_child_and_grandchild_end_when_the_parent_is_killed(guard: str) -> None:
    said, on_line = lines()
    parent = await start([sys.executable, "-c", PARENT, guard], on_line=on_line)
    grandchild, child = map(int, (await asyncio.wait_for(said.get(), 20)).split())
    assert alive(child)
    os.kill(parent.pid, signal.SIGKILL)
    await parent.wait()
    await until_dead(child)
    await until_dead(grandchild)


async def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match="no program 'no-such-program'"):
        await start(["no-such-program"])


async def test_a_log_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written: No such file"):
        await start(SHELL, log_path=tmp_path / "none" / "log")


async def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    async def once() -> None:
        child = await start([*SHELL, "echo x"], log_path=tmp_path / "log")
        await child.wait()

    await once()
    before = len(os.listdir("/proc/self/fd"))
    await once()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_missing_libpython_is_answered_with_the_package_to_install() -> None:
    line = (
        "/x/triton_python_backend_stub: error while loading shared libraries: libpython3.11.so.1.0: "
        "cannot open shared object file: No such file or directory"
    )
    text = "Triton: the shared library libpython3.11 is missing: apt install libpython3.11"
    assert explain("Triton", 127, ["first", line, "last"]) == text


@pytest.mark.parametrize(
    ("code", "tail", "expected"),
    [
        (1, [], "x ended with code 1"),
        (1, ["why", ""], "x ended with code 1: why"),
        (-signal.SIGSEGV, ["why"], "x was ended by SIGSEGV: why"),
        (-99, [], "x was ended by signal 99"),
        (None, ["still starting"], "x does not answer: still starting"),
    ],
)
def test_an_end_is_explained_in_one_line(code: int | None, tail: list[str], expected: str) -> None:
    assert explain("x", code, tail) == expected


def test_where_there_is_no_prctl_the_command_is_run_as_it_is() -> None:
    assert guarded(["a", "b"], setpriv=None, platform="darwin") == ["a", "b"]
    assert guarded(["a"], setpriv="/usr/bin/setpriv", platform="linux")[0] == "/usr/bin/setpriv"
    assert guarded(["a"], setpriv=None, platform="linux")[0] == sys.executable
