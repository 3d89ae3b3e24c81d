"""docker-compose.yaml: no engine runs it here, but its command lines, files and targets are looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_group

from inferloom.cli.main import app
from inferloom.mesh.version import __version__

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OWN = [name for name, service in SERVICES.items() if service["image"].startswith("inferloom")]
MADE = ("./build/",)  # by `inferloom build`


@pytest.mark.parametrize("name", OWN)
def test_every_command_line_parses_with_the_command_itself(name: str) -> None:
    role, *flags = (["sidecar"] if "triton" in SERVICES[name]["image"] else []) + SERVICES[name]["command"]
    get_group(app).commands[role].make_context(role, flags)


def test_the_image_is_of_this_version() -> None:
    assert {SERVICES[name]["image"] for name in OWN if "triton" not in SERVICES[name]["image"]} == {
        f"inferloom:{__version__}"
    }


def test_every_file_that_is_mounted_is_there() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert (ROOT / source).exists() if source.startswith("./") and not source.startswith(MADE) else True
            assert source.startswith("./") or source in COMPOSE["volumes"]


def test_ports_are_open_on_this_machine_alone() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_prometheus_asks_roles_that_listen() -> None:
    config = yaml.safe_load((ROOT / "images" / "compose" / "prometheus.yaml").read_text())
    targets = [target for each in config["scrape_configs"][0]["static_configs"] for target in each["targets"]]
    admins = {name for name in OWN if "0.0.0.0:9100" in SERVICES[name]["command"]}
    network = {name: SERVICES[name].get("network_mode", "").removeprefix("service:") or name for name in admins}
    assert {target.removesuffix(":9100") for target in targets} == set(network.values())
