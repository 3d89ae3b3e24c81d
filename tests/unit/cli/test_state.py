from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from inferloom.cli.state import (
    DEFAULT,
    MeshState,
    announce,
    find,
    new_token,
    reachable,
    running,
    state_folder,
    withdraw,
)
from inferloom.mesh.errors import ConfigError
from inferloom.mesh.listen import Address

NOBODY = 2**22 + 1  # above the largest process id


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INFERLOOM_STATE", str(tmp_path))
    for name in ("INFERLOOM_MESH", "INFERLOOM_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def state(address: str = "127.0.0.1:9001", pid: int | None = None) -> MeshState:
    return MeshState(address, os.getpid() if pid is None else pid, "secret", "127.0.0.1:9002", "host/1")


def test_only_its_user_can_read_the_file_with_the_token() -> None:
    previous = os.umask(0)
    try:
        path = announce(state())
    finally:
        os.umask(previous)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_file_that_is_there_is_replaced_not_written_into() -> None:
    path = announce(state())
    path.chmod(0o644)
    reader = path.open()
    announce(MeshState("127.0.0.1:9001", os.getpid(), "newer"))
    with reader:
        assert json.load(reader)["token"] == "secret"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_is_announced_is_found_and_what_is_withdrawn_is_not() -> None:
    path = announce(state())
    assert running() == [state()]
    assert find(None) == state()
    withdraw(path)
    withdraw(path)
    assert running() == []


def test_the_file_of_a_dead_mesh_is_removed() -> None:
    path = announce(state(pid=NOBODY))
    assert running() == []
    assert not path.exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '"x"', '{"address": "a"}', '{"newer": 1}'])
def test_a_file_that_is_not_understood_is_left_alone(folder: Path, text: str) -> None:
    path = announce(state())
    path.write_text(text)
    assert running() == []
    assert path.exists()


def test_an_address_that_is_named_wins_and_brings_its_token() -> None:
    announce(state("127.0.0.1:9001"))
    announce(state("127.0.0.1:9003"))
    assert find("127.0.0.1:9003").token == "secret"
    assert find("localhost:9003").address == "127.0.0.1:9003"
    assert find("mesh.example:80") == MeshState("mesh.example:80", 0, None)


def test_the_environment_names_mesh_and_token(monkeypatch: pytest.MonkeyPatch) -> None:
    announce(state("127.0.0.1:9001"))
    monkeypatch.setenv("INFERLOOM_MESH", "mesh.example:80")
    monkeypatch.setenv("INFERLOOM_TOKEN", "mine")
    assert find(None) == MeshState("mesh.example:80", 0, "mine")
    assert find("127.0.0.1:9001", "other").token == "other"


def test_of_several_one_must_be_named_unless_one_is_at_the_default_address() -> None:
    announce(state("127.0.0.1:9001"))
    announce(state("127.0.0.1:9003"))
    with pytest.raises(ConfigError, match="several meshes run here: name one with --mesh"):
        find(None)
    announce(state(DEFAULT))
    assert find(None).address == DEFAULT


def test_without_any_the_default_address_is_meant() -> None:
    assert find(None) == MeshState(DEFAULT, 0, None)


def test_the_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert state_folder() == tmp_path
    monkeypatch.delenv("INFERLOOM_STATE")
    monkeypatch.setenv("XDG_STATE_HOME", "/xdg")
    assert state_folder() == Path("/xdg/inferloom")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/ada")
    assert state_folder() == Path("/home/ada/.local/state/inferloom")


def test_tokens_are_long_and_never_the_same() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(len(token) >= 32 for token in tokens)


@pytest.mark.parametrize(
    ("host", "expected"), [("0.0.0.0", "127.0.0.1"), ("::", "127.0.0.1"), ("", "127.0.0.1"), ("10.0.0.1", "10.0.0.1")]
)
def test_a_client_reaches_a_server_that_listens_everywhere_on_loopback(host: str, expected: str) -> None:
    assert reachable(Address(host, 1)).host == expected
