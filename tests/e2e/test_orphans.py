"""What is killed with SIGKILL leaves no process behind, in both modes."""

from __future__ import annotations

import signal

import psutil
import pytest

from tests.support.up import DATA, Home, wait_for

SOON = 5.0  # seconds


@pytest.mark.parametrize("registry", ["memory", "consul"])
def test_nothing_outlives_a_killed_up(home: Home, registry: str) -> None:
    with home.up(DATA / "iris.onnx", "--registry", registry) as up:
        family = [process.pid for process in home.processes()]
        assert len(family) > 3
        up.process.send_signal(signal.SIGKILL)
        up.process.wait()
        wait_for(lambda: not home.processes(), SOON, lambda: str(home.leftovers(running=True)))
        after = home.run("models", "--mesh", up.address)
        assert (after.status, after.out) == (3, ""), str(after)
        wait_for(lambda: not any(map(psutil.pid_exists, family)), 10)  # the machine's first process waits for orphans
    with home.up(DATA / "iris.onnx") as up:  # which tidies up what the killed one had in files and shared memory
        assert up.stop() == 0
    assert home.leftovers() == []


def test_nothing_outlives_an_up_that_is_killed_while_it_starts(home: Home) -> None:
    with home.up(DATA / "iris.onnx", "--registry", "consul", wait=False) as up:
        wait_for(lambda: home.named("tritonserver", "--model-repository"), 40)
        up.process.send_signal(signal.SIGKILL)
        up.process.wait()
        wait_for(lambda: not home.processes(), SOON, lambda: str(home.leftovers(running=True)))
