"""The composer and the Python steps of its process: newer code is taken over, a name that is not declared is never run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from inferloom.mesh.clock import SYSTEM
from inferloom.sdk import step
from inferloom.services.composer.composer import Composer
from inferloom.services.context import CallContext
from inferloom.services.declare.step import StepDeclaration
from tests.integration.test_composer_faults import Composed
from tests.support.router import Server

Pair = tuple[Server, Server]


@step(inline=True)
def shout(text: str) -> str:
    return text.upper()


@step(inline=True)
def whisper(text: str) -> str:
    return text.lower()


def document(function: str) -> dict[str, object]:
    return {
        "inputs": [{"name": "text", "datatype": "BYTES", "shape": [1]}],
        "outputs": [{"name": "said", "source": "s.result"}],
        "nodes": [{"name": "s", "step": {"function": function, "inputs": {"text": "input.text"}}}],
    }


async def said(composed: Composed, name: str) -> bytes:
    return await composed.pipeline(name).call_json(b'{"text": "Hello"}', CallContext(SYSTEM.now() + 5))


async def test_newer_code_is_taken_over_and_a_name_that_is_not_declared_is_never_run(tmp_path: Path) -> None:
    composed = Composed()
    steps: dict[str, StepDeclaration] = {"app:say": shout.declaration}

    def present() -> Mapping[str, StepDeclaration]:
        return steps

    composed.composer = Composer(composed.registry, composed.router, present)
    await composed.apply("say", document("app:say"))
    await composed.apply("system", document("os:system"))
    await composed.router.start()
    await composed.composer.start()
    try:
        assert await said(composed, "say") == b'{"said":"HELLO"}'
        assert "os:system" in composed.composer.problems["system"]
        before = composed.pipeline("say")
        steps = {"app:say": whisper.declaration}
        composed.composer.answerers()  # as the host does when it has swapped its code
        await composed.until(lambda: composed.pipeline("say") is not before)
        assert await said(composed, "say") == b'{"said":"hello"}'
        steps = {}
        composed.composer.look()
        await composed.until(lambda: "say" in composed.composer.problems)
        assert await said(composed, "say") == b'{"said":"hello"}'  # code that is older keeps what it can run
    finally:
        await composed.composer.close()
        await composed.router.close()


async def test_a_pipeline_that_names_a_pipeline_is_served_once_that_one_is(pair: Pair) -> None:
    composed = Composed()
    outer = {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, -1]}],
        "outputs": [{"name": "y", "source": "i.y"}],
        "nodes": [{"name": "i", "step": {"model": "inner", "inputs": {"x": "input.x"}}}],
    }
    inner = {**outer, "nodes": [{"name": "i", "step": {"model": "echo", "inputs": {"x": "input.x"}}}]}
    await composed.apply("outer", outer)
    await composed.apply("inner", inner)
    await composed.router.start()
    await composed.composer.start()
    try:
        assert not composed.composer.answerers()
        assert composed.composer.problems.keys() == {"outer", "inner"}
        await composed.serve("echo", pair[0].address)
        await composed.until(lambda: len(composed.composer.answerers()) == 2)
        assert not composed.composer.problems
    finally:
        await composed.composer.close()
        await composed.router.close()
