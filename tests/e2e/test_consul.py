"""`inferloom up --registry consul`: each role a process of its own, and each of them killed under load."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from tests.e2e.callers import ROW, Callers, ask, tensor
from tests.support.up import DATA, Home, Up, wait_for

MEBI = 1024 * 1024
BACK = 25.0  # seconds until all is as it was; two busy cores included
ROLES = {
    "router": ("inferloom.cli", " router "),
    "sidecar": ("inferloom.cli", " sidecar "),
    "triton": ("tritonserver", "--model-repository"),
    "consul": ("consul", " agent "),
}


@pytest.fixture(scope="module")
def up(homes: Callable[[], Home]) -> Iterator[Up]:
    """A mesh of two replicas of iris in a Consul of its own."""
    with homes().up(DATA / "iris.onnx", "--registry", "consul", "--replicas", "2") as running:
        yield running


def role(home: Home, name: str) -> list[psutil.Process]:
    """The processes of a role; not those that only start or guard them."""
    return [process for process in home.named(*ROLES[name]) if process.name() not in ("sh", "setpriv")]


def whole(up: Up) -> bool:
    """Whether both replicas serve and may be used."""
    done = up.home.run("models", "--json", "--mesh", up.address)
    if done.status != 0:
        return False
    found = up.replicas("iris")
    states = [(r["state"], r["healthy"], r["load"]["breaker"]) for r in found]
    return states == [("REPLICA_STATE_SERVING", True, "closed")] * 2


def registry(up: Up) -> str:
    """consul://HOST:PORT of its Consul."""
    return str(next(word for word in role(up.home, "router")[0].cmdline() if word.startswith("consul://")))


def test_each_role_is_a_process_of_its_own_and_the_line_to_paste_works(up: Up) -> None:
    assert {name: len(role(up.home, name)) for name in ROLES} == {"router": 1, "sidecar": 2, "triton": 2, "consul": 1}
    assert "probabilities" in up.home.shell(up.paste[0]).out
    assert whole(up)


def test_the_roles_are_small_after_start(up: Up) -> None:
    sizes = {name: max(p.memory_info().rss for p in role(up.home, name)) / MEBI for name in ("router", "sidecar")}
    print(sizes)
    assert sizes["router"] <= 120
    assert sizes["sidecar"] <= 100


@pytest.mark.parametrize("name", ["triton", "sidecar", "consul"])
def test_a_killed_role_costs_no_request_and_is_back(up: Up, name: str) -> None:
    wait_for(lambda: whole(up), BACK)
    with Callers(up.address) as callers:
        callers.after(50)
        victim = role(up.home, name)[0]
        family = victim.children(recursive=True)
        victim.kill()
        began = time.monotonic()
        callers.after(100)
        wait_for(lambda: len(role(up.home, name)) == (1 if name == "consul" else 2), BACK)
        wait_for(lambda: whole(up), BACK, lambda: str(up.replicas("iris")))
        took = time.monotonic() - began
        callers.after(100)
    print(f"{name} killed: {callers!r}, back after {took:.1f} s")
    assert not callers.failures, repr(callers)
    assert not [process for process in family if process.is_running()], "what it had started lives on"


def test_a_killed_router_breaks_its_connections_and_is_back_for_clients_that_repeat(up: Up) -> None:
    wait_for(lambda: whole(up), BACK)
    with Callers(up.address, patience=15) as callers:
        callers.after(50)
        role(up.home, "router")[0].kill()
        began = time.monotonic()
        wait_for(lambda: callers.repeated > 0, 5)
        callers.after(100, 30)
        took = time.monotonic() - began
        wait_for(lambda: whole(up), BACK)
    print(f"router killed: {callers!r}, answers again after {took:.1f} s")
    assert not callers.failures, repr(callers)


def test_after_a_restart_of_consul_models_can_still_be_added_and_removed(up: Up) -> None:
    role(up.home, "consul")[0].kill()
    wait_for(lambda: role(up.home, "consul"), BACK)
    wait_for(lambda: whole(up), BACK)
    wait_for(lambda: up.run("add", DATA / "strings.onnx").status == 0, BACK, lambda: up.err)
    assert up.run("infer", "strings", "-i", "x=hi").status == 0
    assert up.run("remove", "strings").status == 0
    wait_for(lambda: up.run("add", DATA / "iris.onnx", "--as", "iris:2").status == 0, BACK, lambda: up.err)
    assert [replica["versions"] for replica in up.replicas("iris")] == [["1", "2"]] * 2, "the first is not forgotten"
    assert up.run("remove", "iris:2").status == 0
    assert [replica["versions"] for replica in up.replicas("iris")] == [["1"]] * 2


def test_two_meshes_share_a_consul_and_neither_disturbs_the_other(up: Up, home: Home) -> None:
    wait_for(lambda: whole(up), BACK)
    with Callers(up.address) as callers:
        clash = home.run("up", DATA / "iris.onnx", "--registry", registry(up), "--grpc", "127.0.0.1:0")
        assert clash.status == 2, str(clash)
        assert clash.error.startswith("model 'iris' is served by another mesh on this Consul (")
        for _ in range(2):  # again, from another port, once the first has gone
            with home.up(DATA / "strings.onnx", "--registry", registry(up)) as other:
                assert ask(other.address, "iris", [tensor("X", [ROW])]).as_numpy("label").tolist() == [[0]]
                assert up.run("infer", "strings", "-i", "x=hi").status == 0
                assert other.stop() == 0
            wait_for(lambda: not up.replicas("strings"), 10)
    assert not callers.failures, repr(callers)
    assert home.leftovers() == []


def test_it_drains_and_leaves_nothing(homes: Callable[[], Home]) -> None:
    home = homes()
    with home.up(DATA / "iris.onnx", "--registry", "consul") as up:
        with Callers(up.address, callers=1) as callers:
            callers.after(20)
        assert up.stop() == 0
    assert home.leftovers() == []
    assert "Traceback" not in up.err
