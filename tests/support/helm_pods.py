"""The chart's pods as processes of this machine: each pod an address of the loopback network, so that ports are the chart's.

What a cluster would do is done here by hand: names and addresses are filled in, `/etc` and `/models` are folders, and a
NetworkPolicy is looked up and not enforced.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from prometheus_client.parser import text_string_to_metric_families

from inferloom.sidecar import runtime
from tests.support.consul import Consul
from tests.support.helm import Object, Rendered, container

__all__ = ["Connection", "Pods", "allows"]

Connection = tuple[str, str, int]  # component that calls, component that is called, port
NAMESPACE = "prod"  # that `render` renders for
SCRAPED = ("control", "router", "sidecar", "host")  # in every pod the one container with the ServiceMonitor's port
ADMIN = 9100
HASH = "7d9f8c6b5-x2k4p"  # what Kubernetes appends to a Deployment's name


@dataclass
class Pods:
    """Pods of a release, started by `start`; `end` ends what is left.

    Attributes:
        folder: temporary files, logs and what is mounted go below it.
        consul: HOST:PORT of the agent, in place of the release's own.
        names: host names that the chart uses, and the component that each leads to.
    """

    rendered: Rendered
    folder: Path
    consul: str
    names: Mapping[str, str]
    processes: dict[tuple[str, str], subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._network = f"127.{random.randint(10, 250)}.{random.randint(0, 250)}."
        self._components: list[str] = []
        self._pods: dict[str, str] = {}  # by component

    def address(self, component: str) -> str:
        """Of the one pod that a component has here."""
        if component not in self._components:
            self._components.append(component)
        return f"{self._network}{10 + self._components.index(component)}"

    def start(self, deployment: str, name: str, *, cwd: Path | None = None) -> None:
        """A container of a Deployment's pod, with its own arguments and nothing but its own environment."""
        template = self.rendered.one("Deployment", deployment)["spec"]["template"]
        component = template["metadata"]["labels"]["app.kubernetes.io/component"]
        each = container(template["spec"], name)
        home = self.folder / f"{component}-{name}"
        home.mkdir()
        filled = {
            "$(POD_IP)": self.address(component),
            "$(POD_NAME)": self._pods.setdefault(component, f"{deployment}-{HASH}"),
            "0.0.0.0": self.address(component),
            "127.0.0.1": self.address(component),
            "/tmp": str(home),
            "/models": str(self.folder / "models"),
        } | {host: self.address(target) for host, target in self.names.items()}
        args = [self._filled(arg, filled) for arg in each["args"]]
        env = {e["name"]: self._filled(e["value"], filled) for e in each["env"] if "value" in e}
        if each["command"] == ["tritonserver"]:
            triton = runtime.find()
            command = triton.command(
                repository=self.folder / "models",
                http_port=0,
                grpc_port=0,
                metrics_port=0,
                host=self.address(component),
                extra=[*args, f"--metrics-address={self.address(component)}"],
            )
            env = triton.environment()
        else:
            command = [sys.executable, "-m", "inferloom.cli", *args]
            env |= {"PATH": os.environ["PATH"], "TMPDIR": str(home)}
        with (home / "log").open("wb") as log:
            self.processes[component, name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *command],
                cwd=cwd or home,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _filled(self, text: str, filled: Mapping[str, str]) -> str:
        for variable, value in filled.items():
            text = text.replace(variable, value)
        head, scheme, _ = text.partition("consul://")
        return f"{head}{scheme}{self.consul}" if scheme else text

    async def job(self, cwd: Path) -> None:
        """The Job that writes the documents, once; an error that shows its output where it fails."""
        (job,) = self.rendered.all("Job")
        (each,) = job["spec"]["template"]["spec"]["containers"]
        (config,) = [c for c in self.rendered.all("ConfigMap") if "documents.json" in c["data"]]
        (self.folder / "documents.json").write_text(config["data"]["documents.json"])
        args = [self._filled(arg, {"/etc/inferloom/documents": str(self.folder)}) for arg in each["args"]]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "inferloom.cli", *args),
            cwd=cwd,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        assert process.returncode == 0, said.decode()

    def log(self, component: str, name: str) -> str:
        return (self.folder / f"{component}-{name}" / "log").read_text()

    async def ready(self, component: str, name: str, port: int, path: str = "/ready", seconds: float = 90) -> None:
        """Wait for what the pod's probe asks."""
        end = time.monotonic() + seconds
        while not await asyncio.to_thread(_answers, f"http://{self.address(component)}:{port}{path}"):
            assert self.processes[component, name].poll() is None, self.log(component, name)
            assert time.monotonic() < end, self.log(component, name)
            await asyncio.sleep(0.1)

    async def samples(self) -> list[tuple[str, dict[str, str]]]:
        """Every metric of every pod, with the labels that Prometheus adds to those of a ServiceMonitor's targets."""
        found = []
        for component, name in self.processes:
            if name in SCRAPED:
                pod = self._pods[component]
                text = await asyncio.to_thread(_text, f"http://{self.address(component)}:{ADMIN}/metrics")
                added = {"namespace": NAMESPACE, "pod": pod}
                found += [
                    (sample.name, {**sample.labels, **added})
                    for family in text_string_to_metric_families(text)
                    for sample in family.samples
                ]
        return found

    def probe(self, deployment: str, name: str, probe: str) -> int:
        """Exit status of a probe that runs within the container."""
        template = self.rendered.one("Deployment", deployment)["spec"]["template"]
        component = template["metadata"]["labels"]["app.kubernetes.io/component"]
        python, *command = container(template["spec"], name)[probe]["exec"]["command"]
        assert python == "python"
        command = [arg.replace("127.0.0.1", self.address(component)) for arg in command]
        return subprocess.run([sys.executable, *command], capture_output=True, check=False, timeout=30).returncode

    def connections(self) -> set[Connection]:
        """Which pods have called which, on connections that are open now."""
        pods = {self.address(component): component for component in self._components}
        return {
            (caller, pods[address], port)
            for (caller, _), process in self.processes.items()
            for address, port in _reached(process.pid)
            if address in pods and pods[address] != caller
        }

    async def checked(self, consul: Consul) -> set[Connection]:
        """What Consul's checks, which say what they have called, have found well."""
        pods = {self.address(component): component for component in self._components}
        checks = await consul.ask("GET", "agent/checks")
        found = [re.search(r"gRPC check (\S+):(\d+): success", check["Output"]) for check in checks.values()]
        return {("consul", pods[match[1]], int(match[2])) for match in found if match}

    def terminate(self, component: str, name: str) -> int:
        """SIGTERM, and the exit status."""
        process = self.processes[component, name]
        process.terminate()
        return process.wait(60)

    def end(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
            process.wait()


def _answers(url: str) -> bool:
    try:
        _text(url)
    except OSError:
        return False
    return True


def _text(url: str) -> str:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=5) as answer:
        return str(answer.read().decode())


def _reached(pid: int) -> Iterator[tuple[str, int]]:
    """Address and port of what a process and its children have called; who has called them is not among them."""
    try:
        process = psutil.Process(pid)
        for each in [process, *process.children(recursive=True)]:
            found = each.net_connections("tcp")
            listens = {c.laddr.port for c in found if c.status == psutil.CONN_LISTEN}
            for connection in found:
                if connection.status == psutil.CONN_ESTABLISHED and connection.laddr.port not in listens:
                    yield connection.raddr.ip.removeprefix("::ffff:"), connection.raddr.port
    except psutil.NoSuchProcess:
        return


def allows(rendered: Rendered, labels: Mapping[str, str], target: Mapping[str, str], port: int) -> bool:
    """Whether pods with these labels may reach a port of pods with those. Policies add up; without one all is open."""
    policies = [p["spec"] for p in rendered.all("NetworkPolicy") if _selects(p["spec"]["podSelector"], target)]
    return not policies or any(_opens(rule, labels, port) for policy in policies for rule in policy["ingress"])


def _opens(rule: Object, labels: Mapping[str, str], port: int) -> bool:
    if not any(port in range(each["port"], each.get("endPort", each["port"]) + 1) for each in rule["ports"]):
        return False
    return "from" not in rule or any(
        _selects(peer["podSelector"], labels) for peer in rule["from"] if "podSelector" in peer
    )


def _selects(selector: Object, labels: Mapping[str, str]) -> bool:
    expressions = selector.get("matchExpressions", ())
    assert all(each["operator"] == "In" for each in expressions)
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(each["key"]) in each["values"] for each in expressions
    )
