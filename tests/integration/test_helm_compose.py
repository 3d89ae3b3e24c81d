"""docker-compose.yaml: no engine runs it here, but its schema, command lines, files and targets are looked at."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml
from typer.main import get_group

from inferloom.cli.main import app
from inferloom.mesh.version import __version__

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OWN = [name for name, service in SERVICES.items() if service["image"].startswith("inferloom")]
MADE = ("./build",)  # by `inferloom build` and `inferloom export helm`
SCHEMA = json.loads((ROOT / "tests" / "data" / "compose" / "compose-spec.json").read_text())


def test_the_file_is_valid_for_the_schema_of_the_compose_specification() -> None:
    validator = jsonschema.Draft202012Validator(SCHEMA)
    assert [error.message for error in validator.iter_errors(COMPOSE)] == []
    wrong = copy.deepcopy(COMPOSE)
    wrong["services"]["router"]["comand"] = []
    assert ["'comand' was unexpected" in error.message for error in validator.iter_errors(wrong)] == [True]


@pytest.mark.parametrize("name", OWN)
def test_every_command_line_parses_with_the_command_itself(name: str, tmp_path: Path) -> None:
    role, *flags = (["sidecar"] if "triton" in SERVICES[name]["image"] else []) + SERVICES[name]["command"]
    if role == "export":
        role, *flags = flags
        written = tmp_path / "values.yaml"
        written.touch()
        flags = [str(written) if flag.endswith("/values.yaml") else flag for flag in flags]
        get_group(app).commands["export"].commands[role].make_context(role, flags)  # type: ignore[attr-defined]
    else:
        get_group(app).commands[role].make_context(role, flags)


def test_the_composer_has_the_code_of_the_example_that_is_built() -> None:
    """And the documents are those that `inferloom export helm` writes of the same folder, as the head of the file says."""
    head = (ROOT / "docker-compose.yaml").read_text().partition("name:")[0]
    assert "inferloom build examples/digits --out build" in head
    assert "inferloom export helm examples/digits > build/values.yaml" in head
    source = yaml.safe_load_all((ROOT / "examples" / "digits" / "mesh.yaml").read_text())
    (app_document,) = [each for documents in source for each in documents if each["kind"] == "app"]
    assert app_document["spec"]["source"] in SERVICES["composer"]["command"]
    assert app_document["spec"]["source"] in SERVICES["documents"]["command"]
    assert SERVICES["composer"]["volumes"] == ["./build/app:/srv/app:ro"]


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
