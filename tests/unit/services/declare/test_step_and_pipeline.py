"""@step and @pipeline: functions as they were, until a pipeline is traced."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from inferloom.mesh.errors import ConfigError
from inferloom.services.declare.handle import HandleOptions
from inferloom.services.declare.pipeline import pipeline
from inferloom.services.declare.step import step
from inferloom.services.recording import recorder


@step
def double(x: int) -> int:
    """Twice as much."""
    return 2 * x


@step(rows=True, name="look-up", replicas=2)
async def lookup(x: int, y: int = 1) -> int:
    return x + y


@pipeline("quadruple", timeout="500ms")
def quadruple(x: int) -> int:
    """Four times as much.

    Of what is given.
    """
    return double(double(x))


@pipeline
def same(x: int) -> int:
    return x


class Recorder:
    def __init__(self) -> None:
        self.calls: list[Any] = []

    def call_model(
        self, name: str, version: str, positional: Sequence[Any], inputs: Mapping[str, Any], options: Any
    ) -> Any:
        self.calls.append((name, dict(inputs)))
        return 1

    def call_step(
        self, step: Any, positional: Sequence[Any], inputs: Mapping[str, Any], options: HandleOptions | None = None
    ) -> Any:
        self.calls.append((step.reference, tuple(positional), dict(inputs), options))
        return 1


@pytest.fixture
def tracing() -> Iterator[Recorder]:
    recording = Recorder()
    token = recorder.set(recording)
    yield recording
    recorder.reset(token)


async def test_outside_of_pipelines_a_step_is_its_function() -> None:
    assert double(3) == 6
    assert double.__doc__ == "Twice as much."
    later: Any = lookup(3)
    assert await later == 4
    assert lookup.run_local(3, y=2) == 5


def test_in_a_pipeline_its_calls_are_recorded(tracing: Recorder) -> None:
    double(3)
    lookup.options(timeout="50ms", skip=True)(x=3)
    assert tracing.calls[0] == (f"{__name__}:double", (3,), {}, None)
    reference, _, inputs, options = tracing.calls[1]
    assert (reference, inputs, options.timeout, options.skip) == (f"{__name__}:lookup", {"x": 3}, 0.05, True)


def test_a_steps_declaration_says_how_it_runs() -> None:
    declaration = lookup.declaration
    assert (declaration.name, declaration.rows, declaration.replicas) == ("look-up", True, 2)
    assert declaration.is_async
    assert [str(spec) for spec in declaration.types.signature.inputs] == ["x INT64 [1]", "y INT64 [1] (optional)"]
    assert declaration.place.rpartition(":")[0].endswith("test_step_and_pipeline.py")


def test_a_pipeline_is_a_node_of_another_by_its_name(tracing: Recorder) -> None:
    quadruple(3)
    assert tracing.calls == [("quadruple", {"x": 3})]


async def test_elsewhere_a_pipeline_is_called_through_the_mesh() -> None:
    with quadruple.handle().replaced(lambda x: 4 * x):
        assert await quadruple.handle()(3) == 12
        answer: Any = quadruple(x=4)
        assert await answer == 16


def test_a_pipelines_declaration_has_name_timeout_text_and_types() -> None:
    declaration = quadruple.declaration
    assert (quadruple.name, declaration.timeout, declaration.text) == ("quadruple", 0.5, "Four times as much.")
    assert declaration.reference == f"{__name__}:quadruple"
    assert [str(spec) for spec in declaration.types.signature.outputs] == ["result INT64 [1]"]
    assert same.name == "same"


def wrong_steps() -> dict[str, tuple[Any, dict[str, Any], str]]:
    def inner(x: int) -> int:
        return x

    def yields(x: int) -> Iterator[int]:
        yield x

    yields.__qualname__ = "yields"
    later = lookup.declaration.function
    plain = double.declaration.function
    return {
        "no function": (3, {}, "@step stands before a function, not before a int: 3"),
        "a class": (int, {}, "@step stands before a function, not before a type"),
        "a function in a function": (inner, {}, "inner must stand at the top of its file"),
        "a generator": (yields, {}, "step yields yields; a step answers once, a service may stream"),
        "an async one inline": (later, {"inline": True}, "inline= is for plain functions"),
        "one in a process pool inline": (plain, {"inline": True, "cpus": 1}, "inline= is for plain functions"),
        "an async one in a process pool": (later, {"cpus": 1}, "cpus= runs a step in another process"),
        "replicas below 0": (plain, {"replicas": -1}, "replicas=-1 must be a whole number from 0"),
        "a wrong name": (plain, {"name": "a b"}, "'a b' is no name of a step"),
    }


@pytest.mark.parametrize("case", wrong_steps())
def test_a_wrong_step_is_refused(case: str) -> None:
    function, options, message = wrong_steps()[case]
    with pytest.raises(ConfigError) as caught:
        step(**options)(function)
    assert message in str(caught.value)


def test_a_wrong_pipeline_is_refused() -> None:
    wrong: Any = 3
    with pytest.raises(ConfigError, match="@pipeline stands before a function, not before a int"):
        pipeline()(wrong)

    async def later(x: int) -> int:
        return x

    with pytest.raises(ConfigError, match=r"test_step_and_pipeline.py:\d+: a pipeline is a plain `def`, without await"):
        pipeline("later")(later)
    with pytest.raises(ConfigError, match=r"test_step_and_pipeline.py:\d+: timeout='soon' must be seconds"):
        pipeline("same", timeout="soon")(same.declaration.function)
    with pytest.raises(ConfigError, match="'a b' is no name of a pipeline"):
        pipeline("a b")(same.declaration.function)
