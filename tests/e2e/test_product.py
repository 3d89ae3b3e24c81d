"""`inferloom up app.py` under faults: hosts killed while they answer, members dead and late, a candidate that hangs."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import psutil
import pytest

from inferloom.sdk import InferloomError, NoReplica, SyncMeshClient, Unreachable
from tests.support.apps import call, hosts, post
from tests.support.up import Home, Up, wait_for

BACK = 20.0  # seconds until a process that was killed, or hung, serves again
WAIT = 0.3  # seconds for which the ensemble waits
LATEST = 1.5  # seconds an answer of it may take where a member is late and the machine is busy

# Each member is a process of its own, because it asks for an environment.
APP = """
import asyncio
import os

from inferloom.sdk import Outputs, pipeline, service, vote


@service(env={"MEMBER": "first"})
async def First(x: int) -> int:
    return x


@service(env={"MEMBER": "second"})
async def Second(x: int) -> int:
    return x


@service(env={"MEMBER": "third"})
async def Third(x: int) -> int:
    return x + 1


@pipeline("most", timeout="3s")
def most(x: int) -> Outputs:
    votes = vote(First(x=x), Second(x=x), Third(x=x), quorum=2, wait="300ms")
    return Outputs(label=votes.label, share=votes.share)


@service(replicas=2, idempotent=True)
async def Looks(x: int) -> int:
    await asyncio.sleep(0.2)
    return os.getpid()


@service(replicas=2)
async def Does(x: int) -> int:
    await asyncio.sleep(0.2)
    return os.getpid()
"""


@pytest.fixture(scope="module")
def up(homes: Callable[[], Home]) -> Iterator[Up]:
    home = homes()
    (home.here / "app.py").write_text(APP)
    with home.up("app.py", "--http", "127.0.0.1:0") as up:
        yield up
        assert up.stop() == 0
    assert "Traceback" not in up.err


@contextmanager
def hung(process: psutil.Process) -> Iterator[None]:
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def only(up: Up, service: str) -> psutil.Process:
    """The host of a service that has one."""
    (found,) = hosts(up, f"--only {service}")
    return found


def most(up: Up) -> tuple[dict[str, Any], dict[str, Any], float]:
    """What the ensemble answers, what it tells about its members, and the seconds it took."""
    with SyncMeshClient(up.address) as mesh:
        began = time.monotonic()
        answer = mesh.infer("most", {"x": 7}, timeout=10)
        return {name: value.tolist() for name, value in answer.items()}, answer.parameters, time.monotonic() - began


def whole(up: Up) -> bool:
    return str(most(up)[1].get("votes.answered")).count(",") == 2


class Asking:
    """Four callers of one service or pipeline, without pause, from `with` to its end."""

    def __init__(self, up: Up, service: str, output: str = "result") -> None:
        self._up, self._service, self._output = up, service, output
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(4)]
        self.answers: list[int] = []
        self.failures: list[Exception] = []

    def __enter__(self) -> Asking:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def after(self, more: int) -> None:
        wanted = len(self.answers) + more
        wait_for(lambda: len(self.answers) >= wanted, BACK, lambda: str(self.failures[:5]))

    def _ask(self) -> None:
        with SyncMeshClient(self._up.address) as mesh:
            while not self._ended.is_set():
                try:
                    (value,) = mesh.infer(self._service, {"x": 1}, timeout=10, outputs=[self._output]).values()
                    self.answers.append(int(value.item()))
                except InferloomError as error:
                    self.failures.append(error)
                    time.sleep(0.05)


@pytest.mark.parametrize(("service", "lost"), [("Looks", 0), ("Does", 4)])
def test_a_host_killed_while_it_answers_loses_at_most_what_had_begun_and_may_not_be_repeated(
    up: Up, service: str, lost: int
) -> None:
    wait_for(lambda: len(up.replicas(service)) == 2, BACK)
    with Asking(up, service) as asking:
        asking.after(12)
        assert len(set(asking.answers)) == 2
        victim = next(p for p in hosts(up, f"--only {service}") if p.pid in asking.answers)
        victim.kill()
        victim.wait(5)
        asking.after(12)
        wait_for(lambda: any(pid not in asking.answers[:12] for pid in asking.answers), BACK)  # another took its place
    assert len(asking.failures) <= lost, asking.failures
    assert {type(error) for error in asking.failures} <= {NoReplica, Unreachable}, asking.failures


def test_a_killed_host_of_pipelines_is_back_and_what_it_answered_meanwhile_is_right(up: Up) -> None:
    wait_for(lambda: whole(up), BACK)
    with Asking(up, "most", "label") as asking:
        asking.after(50)
        (victim,) = hosts(up, "--pipelines")
        victim.kill()
        victim.wait(5)
        wait_for(lambda: asking.failures, 5)
        wait_for(lambda: [p.pid for p in hosts(up, "--pipelines")] not in ([], [victim.pid]), BACK)
        asking.after(50)
    assert set(asking.answers) == {1}
    assert {type(error) for error in asking.failures} <= {NoReplica, Unreachable}, asking.failures
    assert any("starting (its process has gone)" in str(error) for error in asking.failures), asking.failures[:5]


def test_a_late_member_is_waited_for_no_longer_than_was_said(up: Up) -> None:
    wait_for(lambda: whole(up), BACK)
    with hung(only(up, "Second")):
        answer, told, seconds = most(up)
    assert told["votes.late"] == "Second"
    assert sorted(told["votes.answered"].split(",")) == ["First", "Third"]
    assert answer == {"label": [7], "share": [0.5]}  # one each: the one written first
    assert WAIT <= seconds < LATEST


def test_a_lost_quorum_is_an_error_that_says_who_is_missing_and_it_comes_back(up: Up) -> None:
    wait_for(lambda: whole(up), BACK)
    gone = [only(up, name) for name in ("Second", "Third")]
    with ExitStack() as stack:
        stack.enter_context(hung(gone[0]))
        began = time.monotonic()
        gone[1].kill()
        status, answer = post(up, "/v1/most", {"x": 7})
        assert time.monotonic() - began < 3 + LATEST  # the pipeline's own time
        assert (status, answer["code"]) == (503, 14), answer
        for part in ("'most'", "'votes'", "no quorum of 2 of 3", "answered First", "late Second", "failed Third"):
            assert part in answer["message"], answer
    wait_for(lambda: post(up, "/v1/most", {"x": 7}) == (200, {"label": 7, "share": 2 / 3}), BACK)


def test_a_dead_member_is_done_without_and_is_back(up: Up) -> None:
    wait_for(lambda: whole(up), BACK)
    only(up, "First").kill()
    end = time.monotonic() + 5
    while (found := most(up))[1].get("votes.failed") != "First":
        assert time.monotonic() < end, found
    answer, _, seconds = found
    assert answer == {"label": [7], "share": [0.5]}
    assert seconds < LATEST
    wait_for(lambda: whole(up), BACK)


def test_a_candidate_that_hangs_is_mirrored_to_without_a_word_to_the_callers(up: Up) -> None:
    wait_for(lambda: whole(up), BACK)
    changed = up.run("split", "First", "1=100", "--mirror", "Third=100")
    assert changed.status == 0, str(changed)

    def compared() -> dict[str, Any]:
        told = json.loads(up.run("split", "First", "--json").out)
        (found,) = [arm for arm in told["arms"] if arm["arm"] == "Third"]
        return dict(found.get("compared", {}))

    assert call(up, "First", {"x": 1}) == {"result": [1]}
    wait_for(lambda: int(compared().get("differed", 0)) >= 1, 5)
    with hung(only(up, "Third")):
        began = time.monotonic()
        for _ in range(20):
            assert call(up, "First", {"x": 1}) == {"result": [1]}
        assert time.monotonic() - began < 2 * LATEST
    assert up.run("split", "First", "--remove").status == 0
