"""`inferloom models`, `doctor` and `--help`, as a person and as a script read them."""

from __future__ import annotations

import json
import re
import signal
import subprocess

import numpy as np
import pytest

from tests.e2e.callers import ROW, ask, tensor
from tests.support.up import Home, Up


def test_models_tells_scripts_everything_as_json(mesh: Up) -> None:
    done = mesh.run("models", "--json")
    assert (done.status, done.err) == (0, "")
    told = json.loads(done.out)
    assert [model["name"] for model in told["models"]] == ["iris"]
    replica = told["models"][0]["replicas"][0]
    assert (replica["id"], replica["state"], replica["versions"]) == ("triton-0", "REPLICA_STATE_SERVING", ["1"])
    assert replica["load"]["breaker"] == "closed"
    assert told["age_seconds"] < 5


def test_models_prints_one_table_where_nobody_watches(mesh: Up) -> None:
    done = mesh.run("models", "--once")
    assert done.status == 0
    assert done.out.startswith("1 model ")
    assert "triton-0" in done.out
    assert mesh.run("models").out.count("triton-0") == 1


def test_infer_prints_json_for_scripts(mesh: Up) -> None:
    done = mesh.run("infer", "iris", "--input", "X=[[5.1,3.5,1.4,0.2]]", "--json")
    assert json.loads(done.out)["outputs"]["label"] == [[0]]


def test_a_cast_is_one_line_of_warning_without_code(mesh: Up) -> None:
    np.save(mesh.home.here / "rows.npy", np.zeros((2, 4)))
    done = mesh.run("infer", "iris", "--input", "X=@rows.npy")
    (mesh.home.here / "rows.npy").unlink()
    assert done.status == 0
    assert done.err.startswith("inferloom: warning: input 'X' of iris takes FP32: the float64 array was cast")
    assert done.err.count("\n") == 1


def test_a_router_follows_another_one_and_answers_the_same(mesh: Up) -> None:
    home = mesh.home
    options = ["--registry", f"mesh://{mesh.address}", "--grpc", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
    command = [*home.command, "router", *options]
    environment = home.environment()
    with subprocess.Popen(command, env=environment, cwd=home.here, stdout=subprocess.PIPE, text=True) as router:
        assert router.stdout is not None
        match = re.match(r"ready grpc=(\S+) admin=", router.stdout.readline())
        assert match is not None
        assert ask(match[1], "iris", [tensor("X", [ROW])]).as_numpy("label").tolist() == [[0]]
        router.send_signal(signal.SIGTERM)
        assert router.wait(10) == 0


def test_doctor_ends_with_0_where_up_works(mesh: Up) -> None:
    done = mesh.home.run("doctor")
    assert (done.status, done.err) == (0, "")
    assert "Triton" in done.out
    assert all(f"{what} (optional)" in done.out for what in ("routes by rules", "services with asgi=, as of FastAPI"))


def test_doctor_ends_with_1_and_the_cure_where_the_runtime_is_missing(home: Home) -> None:
    done = home.run("doctor", environ={"INFERLOOM_CACHE": str(home.tmp)})
    assert done.status == 1
    assert "inferloom triton install" in done.out
    assert home.leftovers() == []


@pytest.mark.parametrize("command", ["up", "add", "remove", "models", "infer", "router", "sidecar", "doctor"])
def test_each_command_has_help(home: Home, command: str) -> None:
    done = home.run(command, "--help")
    assert done.status == 0
    assert f"inferloom {command}" in done.out
    assert "Traceback" not in done.err
