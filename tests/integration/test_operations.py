"""What the operations guide says: who listens where, a Consul that loses a server, alerts and tests that it names."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import re
import shutil
import signal
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import fields
from http.client import HTTPException
from importlib import import_module
from pathlib import Path

import grpc
import psutil
import pytest
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc

from inferloom.cli.consul_binary import obtain_binary
from inferloom.mesh.listen import free_port
from inferloom.mesh.process import Child, start
from inferloom.mesh.registry.consul import ConsulRegistry
from tests.support.consul import Health, eventually, replica, until
from tests.support.up import DATA, Home, Up, wait_for

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "operations"
PATIENCE = 3.0  # seconds for an answer ...
BRIEF = 0.3  # ... of HTTP where gRPC is spoken: whose servers wait for more before they hang up
PROGRAMS = {"envoy": "edge", "tritonserver": "Triton", "consul": "consul"}
LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
LISTENS = re.compile(r"^\| (\w+) \| (\w[\w ]*) \| ", re.MULTILINE)
LIMITS = re.compile(r"^\| [^|]+ \| ([\d,.]+) ?(\w*)[^|]*\|[^|]*\| `(inferloom[\w.]+)` \|", re.MULTILINE)
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "h": 3600, "days": 86400}
APP = """
from inferloom.sdk import model, pipeline, service

iris = model("iris", source="iris.onnx")


@service
class Twice:
    async def predict(self, x: int) -> int:
        return 2 * x


async def hello(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})


hello = service(asgi=hello, name="hello")


@pipeline
def four(x: int) -> int:
    return Twice(Twice(x))
"""
WITHOUT_MODELS = APP.replace('iris = model("iris", source="iris.onnx")\n', "")


@contextmanager
def mesh(folder: Path, app: str, *options: str) -> Iterator[Up]:
    """`inferloom up app.py`, in a home whose processes all end."""
    home = Home(folder / "home")
    shutil.copyfile(DATA / "iris.onnx", folder / "iris.onnx")
    (folder / "app.py").write_text(app)
    try:
        with home.up(folder / "app.py", *options) as up:
            yield up
    finally:
        wait_for(lambda: not home.processes(), 10, lambda: str(home.leftovers(running=True)))


def page_says() -> dict[str, set[str]]:
    """The ports of each process by the table of docs/operations/security.md."""
    found: dict[str, set[str]] = {}
    section = (GUIDE / "security.md").read_text().partition("## What listens where")[2].partition("\n## ")[0]
    for process, port in LISTENS.findall(section):
        if process == "process":
            continue  # the headings
        found.setdefault(process, set()).add(port)
    return found


def role_of(process: psutil.Process) -> str:
    if program := PROGRAMS.get(process.name()):
        return program
    words: list[str] = process.cmdline()
    return words[words.index("inferloom.cli") + 1]


def get(port: int, path: str, patience: float = PATIENCE) -> tuple[int, str]:
    """Status and body; (0, "") where nobody speaks HTTP/1.1 there."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=patience) as answer:
            return answer.status, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, ""
    except (OSError, HTTPException):
        return 0, ""


def grpc_answers(port: int) -> bool:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            check = health_pb2_grpc.HealthStub(channel).Check
            check(health_pb2.HealthCheckRequest(), timeout=PATIENCE)
        except grpc.RpcError:
            return False
    return True


def port_of(process: psutil.Process, port: int) -> str:
    """What the page calls it, by what answers there."""
    if process.name() == "consul":
        given = json.loads(process.cmdline()[process.cmdline().index("-hcl") + 1])["ports"]
        named = {
            given["server"]: "RPC",
            given["serf_lan"]: "gossip",
            given["serf_wan"]: "gossip",
            given["http"]: "HTTP",
        }
        return str(named[port])
    if grpc_answers(port):
        return "gRPC and HTTP" if get(port, "/v2/health/live", BRIEF)[0] == 200 else "gRPC"
    if get(port, "/live")[1] == "live\n" or "command_line_options" in get(port, "/server_info")[1]:
        return "admin"
    if get(port, "/")[1] == "hello":
        return "application"
    if "nv_" in get(port, "/metrics")[1]:  # asked first: to all else that port says OK
        return "metrics"
    return "HTTP" if get(port, "/v2/health/live")[0] == 200 else "unknown"


def listening(up: Up) -> tuple[dict[str, set[str]], set[str]]:
    """The ports of each process as they are, and the addresses that they are bound to."""
    ports: dict[str, set[str]] = {}
    hosts: set[str] = set()
    for process in up.home.processes():
        for socket in process.net_connections("inet"):
            if socket.raddr or socket.status not in (psutil.CONN_LISTEN, psutil.CONN_NONE):
                continue
            hosts.add(socket.laddr.ip)
            ports.setdefault(role_of(process), set()).add(port_of(process, socket.laddr.port))
    return ports, hosts


@pytest.mark.parametrize(
    ("app", "options"),
    [(APP, ("--gateway", "envoy", "--registry", "consul")), (WITHOUT_MODELS, ())],
    ids=["every role a process", "one process"],
)
def test_what_listens_is_in_the_table_and_nothing_beyond_loopback(
    app: str, options: tuple[str, ...], tmp_path: Path
) -> None:
    with mesh(tmp_path, app, *options, *(() if options else ("--http", "127.0.0.1:0"))) as up:
        ports, hosts = listening(up)
    assert hosts <= LOOPBACK
    expected = page_says()
    assert ports == {role: expected[role] for role in ports}
    assert set(ports) == (set(expected) - {"up"} if options else {"up", "host"})


def test_every_alert_is_explained_and_every_test_that_is_named_exists() -> None:
    groups = yaml.safe_load((ROOT / "monitoring" / "rules" / "alerts.yaml").read_text())["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"]}
    assert alerts == set(re.findall(r"Inferloom\w+", (GUIDE / "failures.md").read_text()))
    for page in (*GUIDE.glob("*.md"), ROOT / "docs" / "proven.md"):
        for path, name in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", page.read_text()):
            assert name in {"", *functions(ROOT / path)}, f"{page.name}: {path} has no {name}"


def functions(path: Path) -> set[str]:
    tree = ast.walk(ast.parse(path.read_text()))
    return {node.name for node in tree if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def value_of(dotted: str) -> object:
    """A module's constant, or the default of a dataclass's field."""
    module, _, name = dotted.rpartition(".")
    if module.rpartition(".")[2][0].isupper():
        module, _, owner = module.rpartition(".")
        return next(f.default for f in fields(getattr(import_module(module), owner)) if f.name == name)
    return getattr(import_module(module), name)


def test_every_limit_is_what_the_code_says() -> None:
    page = (GUIDE / "sizes.md").read_text()
    rows = LIMITS.findall(page)
    assert len(rows) == page.count("`inferloom.") > 40
    for number, unit, dotted in rows:
        factor = 1 if dotted.endswith(f"_{unit.upper()}") else UNITS.get(unit, 1)
        assert float(number.replace(",", "")) * factor == value_of(dotted), dotted


class Servers:
    """Three Consul servers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.children: list[Child] = []
        self.ports: list[dict[str, int]] = []

    async def start(self) -> None:
        """Return once they have a leader and know one another."""
        binary = await asyncio.to_thread(obtain_binary, os.environ, print)
        for number in range(3):
            ports = {name: free_port() for name in ("http", "serf_lan", "serf_wan", "server")}
            settings = {
                "node_name": f"server-{number}",
                "server": True,
                "bootstrap_expect": 3,
                "data_dir": str(self._folder / str(number)),
                "bind_addr": "127.0.0.1",
                "client_addr": "127.0.0.1",
                "disable_update_check": True,
                "performance": {"raft_multiplier": 1},
                "ports": {"dns": -1, "grpc": -1, "https": -1, **ports},
                "retry_join": [f"127.0.0.1:{other['serf_lan']}" for other in self.ports],
                "retry_interval": "1s",
            }
            written = self._folder / f"{number}.json"
            written.write_text(json.dumps(settings))
            self.children.append(await start([str(binary), "agent", "-config-file", str(written)], name="consul"))
            self.ports.append(ports)
        await until(lambda: all(self.leader(number) is not None for number in range(3)), 30)
        await until(lambda: len(json.loads(self.ask(0, "catalog/nodes"))) == 3, 30)

    def leader(self, told_by: int) -> int | None:
        """None: the one that is asked knows none."""
        found = self.ask(told_by, "status/leader").strip('"\n')
        return next((n for n, ports in enumerate(self.ports) if found.endswith(f":{ports['server']}")), None)

    def ask(self, number: int, path: str) -> str:
        return get(self.ports[number]["http"], f"/v1/{path}")[1]


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[Servers]:
    found = Servers(tmp_path)
    try:
        await found.start()
        yield found
    finally:
        await asyncio.gather(*(child.stop(2.0) for child in found.children))


async def test_while_consuls_servers_elect_a_leader_the_catalog_serves_and_a_change_waits(servers: Servers) -> None:
    lost = servers.leader(0)
    assert lost is not None
    asked = (lost + 1) % 3
    address = f"127.0.0.1:{servers.ports[asked]['http']}"
    health, registry = Health(), ConsulRegistry(address, snapshot=None)
    await health.server.start()
    try:
        await registry.start()
        one = await registry.register(replica("one", check=health.address))
        await eventually(registry, lambda catalog: list(catalog.models) == ["one"])
        servers.children[lost].signal(signal.SIGKILL)
        await eventually(registry, lambda catalog: not catalog.fresh)
        assert list(registry.catalog.models) == ["one"]
        changed = asyncio.create_task(one.update(replica("one", check=health.address, weight=2.0)))
        catalog = await eventually(registry, lambda catalog: next(iter(catalog.replicas())).weight == 2.0, 30)
        await changed
        assert list(catalog.models) == ["one"]
        await eventually(registry, lambda catalog: catalog.fresh, 10)
        assert servers.leader(asked) not in (None, lost)
    finally:
        await registry.close()
        await health.server.stop(None)
