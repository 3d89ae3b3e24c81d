"""A block is cut into commands, and these get this run's ports."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

from tests.docs.commands import Command, commands, with_ports
from tests.docs.ports import Ports

BLOCK = """\
# what is there
inferloom models   # all of them

curl http://127.0.0.1:8080/v1/iris \\
  -d '{
    "x": 1}'
cat <<END
it's
END
for i in 1 2; do
  echo $i
done
# Ctrl-C
"""


@pytest.fixture
def ports() -> Ports:
    return Ports(count(50001).__next__)


def test_a_block_is_cut_where_a_command_is_complete() -> None:
    found = [(command.line, command.text.splitlines()[0], command.text.count("\n")) for command in commands(BLOCK, 10)]
    assert found == [
        (11, "inferloom models   # all of them", 0),
        (13, "curl http://127.0.0.1:8080/v1/iris \\", 2),
        (16, "cat <<END", 2),
        (19, "for i in 1 2; do", 2),
        (22, "# Ctrl-C", 0),
    ]


@pytest.mark.parametrize(
    ("text", "stays"),
    [
        ("inferloom up iris.onnx", True),
        ("X=1 inferloom host app.py --pipelines", True),
        ("consul agent -dev &", True),
        ("inferloom host app.py --describe", False),
        ("inferloom control status", False),
        ("inferloom up --help", False),
        ("inferloom top", False),  # its output is no terminal: one frame
        ("curl 'http://127.0.0.1:8080/docs?a=1&b=2'", False),
    ],
)
def test_a_role_and_what_ends_in_an_ampersand_stay(text: str, stays: bool) -> None:
    assert Command(text, 1).stays is stays


def test_a_port_has_one_that_stands_for_it_on_the_whole_page(ports: Ports) -> None:
    assert (
        ports.replaced("grpc: 127.0.0.1:9000, http: localhost:9001") == "grpc: 127.0.0.1:50001, http: localhost:50002"
    )
    assert ports.replaced("http://127.0.0.1:9000/x 0.0.0.0:9001") == "http://127.0.0.1:50001/x 0.0.0.0:50002"


def test_what_is_printed_is_shown_as_with_the_usual_ports(ports: Ports) -> None:
    mesh = ports.address(8081)
    assert (
        ports.shown(f"ready grpc={mesh}\n  inferloom models --mesh {mesh}")
        == "ready grpc=127.0.0.1:8081\n  inferloom models"
    )


def test_port_0_and_ports_of_other_machines_stay(ports: Ports) -> None:
    text = "--grpc 127.0.0.1:0 jaeger:4317 10.0.0.1:8081 127.0.0.1"
    assert ports.replaced(text) == text


def test_a_port_that_a_command_names_itself_takes_the_place(ports: Ports) -> None:
    assert ports[8080] == 50001
    ports.settle(8080, 61000)
    assert ports.replaced("127.0.0.1:8080") == "127.0.0.1:61000"


@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("inferloom up a.onnx", "inferloom up a.onnx --grpc 127.0.0.1:50001 --http 127.0.0.1:50002"),
        ("inferloom up a.onnx --grpc=127.0.0.1:0 --http off &", "inferloom up a.onnx --grpc=127.0.0.1:0 --http off"),
        ("inferloom up a.onnx --gateway envoy", "inferloom up a.onnx --gateway envoy --grpc 127.0.0.1:50001"),
        ("inferloom up shop", "inferloom up shop --grpc 127.0.0.1:50001"),
        ("inferloom edge --listen 127.0.0.1:80", "inferloom edge --listen 127.0.0.1:50001 --control 127.0.0.1:50002"),
        ("inferloom control status", "inferloom control status --control 127.0.0.1:50001"),
        ("inferloom host app.py", "inferloom host app.py"),
        ("inferloom infer iris", "inferloom infer iris"),
    ],
)
def test_what_would_take_a_usual_port_is_told_another(text: str, given: str, ports: Ports, tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "mesh.yaml").write_text("- {kind: mesh, name: shop, spec: {gateway: envoy}}")
    assert with_ports(Command(text, 1), ports, tmp_path) == given
