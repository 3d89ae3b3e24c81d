"""The arguments in the chart are ones that the command takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_group

from inferloom.cli.main import app
from tests.support.helm import MATRIX, render

FILLED_IN = {"$(HOST_IP)": "10.0.0.1", "$(POD_IP)": "10.1.0.7", "$(POD_NAME)": "mesh-inferloom-model-digits-7d9f-x2k4p"}


def roles(pods: Iterable[dict[str, Any]]) -> Iterator[list[str]]:
    """The arguments of every container that runs the command."""
    for pod in pods:
        for each in [*pod.get("initContainers", []), *pod["containers"]]:
            if each["command"] == ["inferloom"]:
                yield each["args"]


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX.keys())
def test_the_arguments_of_every_role_parse_with_the_command_itself(values: dict[str, object], tmp_path: Path) -> None:
    for name in (
        "tls/tls.crt",
        "tls/tls.key",
        "tls/ca.crt",
        "auth/token",
        "auth/write-token",
        "documents/documents.json",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    seen = set()
    for role, *flags in roles(render(values).pods()):
        seen.add(role)
        for variable, value in (FILLED_IN | {"/etc/inferloom": str(tmp_path)}).items():
            flags = [given.replace(variable, value) for given in flags]
        assert not [given for given in flags if "$(" in given]
        command = get_group(app).commands[role]
        if role == "export":
            name, *flags = flags
            command = get_group(app).commands[role].commands[name]  # type: ignore[attr-defined]
        command.make_context(role, flags)
    assert "router" in seen


def test_every_role_of_the_mesh_is_in_the_chart() -> None:
    every = {role for values in MATRIX.values() for role, *_ in roles(render(values).pods())}
    assert every == {"control", "edge", "router", "host", "sidecar", "export"}
