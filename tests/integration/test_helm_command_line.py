"""The arguments in the chart are ones that the command takes."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.main import get_group

from inferloom.cli.main import app
from tests.support.helm import MATRIX, container, render

FILLED_IN = {"$(HOST_IP)": "10.0.0.1", "$(POD_IP)": "10.1.0.7", "$(POD_NAME)": "mesh-inferloom-model-digits-7d9f-x2k4p"}


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX.keys())
def test_the_arguments_of_router_and_sidecar_parse_with_the_command_itself(
    values: dict[str, object], tmp_path: Path
) -> None:
    for name in ("tls/tls.crt", "tls/tls.key", "tls/ca.crt", "token/token"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    commands = get_group(app).commands
    for pod in render(values).pods():
        main = container(pod, pod["containers"][0]["name"])
        role, *flags = main["args"]
        assert main["command"] == ["inferloom"]
        for variable, value in (FILLED_IN | {"/etc/inferloom": str(tmp_path)}).items():
            flags = [given.replace(variable, value) for given in flags]
        assert not [given for given in flags if "$(" in given]
        commands[role].make_context(role, flags)
