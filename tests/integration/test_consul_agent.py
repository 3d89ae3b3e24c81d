"""Finding Consul's binary, and agents in development mode."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import psutil
import pytest

from inferloom.cli.consul_agent import start_dev_agent
from inferloom.cli.consul_binary import find_binary, obtain_binary
from inferloom.mesh.errors import ConfigError
from tests.support.consul import until

PARENT = """
import asyncio
from inferloom.cli.consul_agent import start_dev_agent

async def main():
    agent = await start_dev_agent()
    print(agent.child.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_the_binary_is_the_named_one_else_one_on_path_else_the_cached_one(tmp_path: Path) -> None:
    environ = {"PATH": str(tmp_path / "bin"), "INFERLOOM_CACHE": str(tmp_path / "cache")}
    assert find_binary(environ) is None
    cached = program(tmp_path / "cache" / "consul" / "consul")
    assert find_binary(environ) == cached
    on_path = program(tmp_path / "bin" / "consul")
    assert find_binary(environ) == on_path
    named = program(tmp_path / "elsewhere" / "my-consul")
    assert find_binary(environ | {"CONSUL_BIN": str(named)}) == named
    with pytest.raises(ConfigError, match=r"^CONSUL_BIN=/not/there: no such program$"):
        find_binary(environ | {"CONSUL_BIN": "/not/there"})


def test_where_there_is_neither_consul_nor_apt_one_line_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"no Consul here, and no apt-get or dpkg-deb .* set CONSUL_BIN") as caught:
        obtain_binary({"PATH": str(tmp_path), "INFERLOOM_CACHE": str(tmp_path)})
    assert "\n" not in str(caught.value)


def test_where_apt_cannot_deliver_one_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    apt = program(tmp_path / "bin" / "apt-get")
    apt.write_text(
        '#!/bin/sh\n[ "$1" = indextargets ] && echo "http://192.0.2.1/debian/|bookworm|main|" && exit\n'
        "echo 'E: the release is not there any more' >&2; exit 100\n"
    )
    program(tmp_path / "bin" / "dpkg-deb")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/bin")
    with pytest.raises(ConfigError, match=r"cannot be downloaded \(apt-get: E: the release is not there any more\)"):
        obtain_binary({"PATH": str(tmp_path), "INFERLOOM_CACHE": str(tmp_path / "cache")})
    assert list((tmp_path / "cache" / "consul").iterdir()) == []


async def test_two_agents_run_side_by_side() -> None:
    one, other = await asyncio.gather(start_dev_agent(), start_dev_agent())
    try:
        assert one.address != other.address
        assert not set(one.ports.values()) & set(other.ports.values())
    finally:
        await asyncio.gather(one.stop(), other.stop())


async def test_a_port_in_use_is_said() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match=r"consul does not start: .*address already in use"):
            await start_dev_agent(http_port=taken.getsockname()[1])


async def test_a_setting_that_consul_does_not_know_is_said() -> None:
    with pytest.raises(ConfigError, match="no_such_setting"):
        await start_dev_agent(settings={"no_such_setting": 1})


async def test_an_agent_ends_with_the_process_that_started_it() -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, stdout=asyncio.subprocess.PIPE, env=dict(os.environ)
    )
    assert parent.stdout is not None
    pid = int(await asyncio.wait_for(parent.stdout.readline(), 20))
    assert psutil.pid_exists(pid)
    parent.send_signal(signal.SIGKILL)
    await parent.wait()
    await until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
