"""Handles: what they call, with which options, and what answers in their place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest

from inferloom.clients.metadata import ModelMetadata
from inferloom.clients.result import InferResult
from inferloom.mesh.errors import ConfigError, InvalidInput, NoReplica
from inferloom.services.caller import using
from inferloom.services.declare.handle import HandleOptions
from inferloom.services.declare.model import model
from inferloom.services.declare.replacement import result_of
from inferloom.services.declare.service import service
from inferloom.services.recording import recorder
from inferloom.services.tensor import Tensor, to_response

digits = model("digits")


class Fake:
    """A caller that notes what it is asked and answers what it was told."""

    def __init__(self, **outputs: Any) -> None:
        self.asked: list[tuple[str, Any, str, float | None]] = []
        self.fails = False
        self._outputs = {name: np.asarray(value) for name, value in outputs.items()}

    async def infer(
        self,
        model: str,
        inputs: Any,
        *,
        version: str = "",
        timeout: float | None = None,
        metadata: Mapping[str, Any] | None = None,
        outputs: Sequence[str] = (),
        parameters: Mapping[str, Any] | None = None,
    ) -> InferResult:
        self.asked.append((model, inputs, version, timeout))
        if self.fails:
            raise NoReplica(f"no replica of '{model}' can be used")
        tensors = [(name, Tensor.of(value, name=name)) for name, value in self._outputs.items()]
        return InferResult(to_response(tensors, model))

    async def stream(self, model: str, inputs: Any, **options: Any) -> AsyncGenerator[InferResult]:
        for _ in range(2):
            yield await self.infer(model, inputs, **options)

    async def metadata(self, model: str, version: str = "") -> ModelMetadata:
        raise AssertionError("not asked here")


@pytest.fixture
def fake() -> Iterator[Fake]:
    caller = Fake(label=[3], sure=[0.5])
    with using(caller):
        yield caller


@dataclass
class Answer:
    label: int
    sure: float


@service
class ReadDigit:
    async def predict(self, png: bytes, size: int = 8) -> Answer:
        raise AssertionError("it is called through the mesh")


read_digit = service(ReadDigit)


async def test_a_model_is_called_by_name_and_answers_arrays(fake: Fake) -> None:
    out = await digits(pixels=[1.0])
    assert out.label.tolist() == [3]
    assert fake.asked == [("digits", {"pixels": [1.0]}, "", None)]


async def test_a_model_with_one_input_takes_it_without_its_name(fake: Fake) -> None:
    await digits([1.0])
    assert fake.asked[0][1] == [1.0]
    with pytest.raises(InvalidInput, match=r"give the inputs of 'digits' by name: digits\(NAME=value, ...\)"):
        await digits([1.0], [2.0])


async def test_an_answer_may_be_passed_on_unresolved(fake: Fake) -> None:
    await digits(pixels=digits(pixels=1).label, rows=[digits(pixels=2)["label"]])
    assert fake.asked[2][1] == {"pixels": np.array([3]), "rows": [np.array([3])]}


async def test_options_make_another_handle(fake: Fake) -> None:
    quick = digits.options(timeout="50ms", version=2)
    await quick(pixels=1)
    await digits(pixels=1)
    assert [asked[2:] for asked in fake.asked] == [("2", 0.05), ("", None)]
    assert quick.options(timeout=1).settings.version == "2"
    assert repr(quick) == "<Model digits:2>"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timeout": 0}, 'timeout=0 must be seconds above 0, or a text like "50ms"'),
        ({"timeout": "fast"}, "timeout='fast' must be seconds"),
        ({"version": "new"}, "version='new' must be a whole number from 1"),
        ({"attempts": 0}, "attempts=0 must be a whole number from 1"),
    ],
)
def test_options_that_make_no_sense_are_refused_with_file_and_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        digits.options(**options)
    assert "test_handle.py:" in str(caught.value)
    assert message in str(caught.value)


def test_a_models_name_version_and_source_are_checked_where_they_are_written() -> None:
    with pytest.raises(ConfigError, match=r"test_handle.py:\d+: 'a b' is no name of a model"):
        model("a b")
    with pytest.raises(ConfigError, match=r"test_handle.py:\d+: version='x'"):
        model("a", version="x")
    found = model("a", version=2, source="models/a.onnx").declaration
    assert found.path is not None
    assert found.path.parts[-3:] == ("declare", "models", "a.onnx")
    assert (found.version, model("a").declaration.path) == ("2", None)


async def test_a_fallback_answers_where_the_call_fails(fake: Fake) -> None:
    fake.fails = True
    with pytest.raises(NoReplica):
        await digits(pixels=1)
    assert (await digits.options(fallback={"label": [0]})(pixels=1)).label.tolist() == [0]
    other = digits.options(fallback=lambda pixels: {"label": [pixels]})
    assert (await other(pixels=7)).label.tolist() == [7]
    with digits.replaced(lambda pixels: {"label": [8]}):
        assert (await model("svm").options(fallback=digits)(pixels=1)).label.tolist() == [8]


@pytest.mark.parametrize("options", [{"attempts": 2}, {"skip": True}])
async def test_what_holds_in_pipelines_alone_is_refused_outside_of_them(fake: Fake, options: dict[str, Any]) -> None:
    handle = digits.options(**options)
    with pytest.raises(
        InvalidInput, match=rf"test_handle.py:\d+: {next(iter(options))}= of 'digits' holds in pipelines"
    ):
        await handle(pixels=1)
    assert fake.asked == []


async def test_a_declared_service_takes_and_gives_python_values(fake: Fake) -> None:
    answer = await read_digit(b"png")
    assert answer == Answer(3, 0.5)
    name, inputs, _, _ = fake.asked[0]
    assert name == "ReadDigit"
    assert {key: value.tolist() for key, value in inputs.items()} == {"png": [b"png"]}
    with pytest.raises(
        InvalidInput, match=r"ReadDigit\(png: bytes, size: int = 8\) -> Answer: missing a required argument"
    ):
        await read_digit(size=2)  # type: ignore[call-arg]


async def test_streams_are_iterated_over(fake: Fake) -> None:
    assert [answer.label.tolist() async for answer in digits.stream(pixels=1)] == [[3], [3]]
    assert [answer async for answer in read_digit.stream(b"png")] == [Answer(3, 0.5)] * 2


async def test_a_function_answers_in_its_place_everywhere(fake: Fake) -> None:
    async def later(pixels: int) -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"label": [pixels]}

    with digits.replaced(later):
        assert (await model("digits")(pixels=4)).label.tolist() == [4]
        with digits.replaced(lambda pixels: {"label": 5}):
            assert (await digits(pixels=4)).label.tolist() == [5]
        assert (await digits(4)).label.tolist() == [4]
        assert await asyncio.to_thread(lambda: asyncio.run(_label(digits))) == [6]
    assert fake.asked == []
    assert (await digits(pixels=4)).label.tolist() == [3]


async def _label(handle: Any) -> Any:
    return (await handle(pixels=6)).label.tolist()


async def test_a_replaced_service_answers_what_the_function_returns(fake: Fake) -> None:
    with read_digit.replaced(lambda png: Answer(9, 1.0)):
        assert await read_digit(b"png") == Answer(9, 1.0)


async def test_a_generator_answers_for_what_streams(fake: Fake) -> None:
    async def later(pixels: int) -> AsyncIterator[dict[str, Any]]:
        yield {"label": [pixels]}

    with digits.replaced(lambda pixels: ({"label": [n]} for n in range(2))):
        assert [answer.label.tolist() async for answer in digits.stream(pixels=1)] == [[0], [1]]
    with digits.replaced(later):
        assert [answer.label.tolist() async for answer in digits.stream(pixels=1)] == [[1]]
    with (
        digits.replaced(lambda pixels: {"label": [0]}),
        pytest.raises(InvalidInput, match="'digits' is streamed, so what replaces it must yield answers"),
    ):
        _ = [answer async for answer in digits.stream(pixels=1)]


async def test_wrong_inputs_of_a_replaced_handle_are_named() -> None:
    with (
        digits.replaced(lambda image: {"label": [3]}),
        pytest.raises(
            InvalidInput, match=r"'digits' is called with pixels, and what replaces it takes \(image\): missing"
        ),
    ):
        await digits(pixels=1)
    wrong: Any = 3
    with pytest.raises(InvalidInput, match="'digits' is replaced by a function, not by a int"), digits.replaced(wrong):
        pass


class Named(NamedTuple):
    label: int


@pytest.mark.parametrize("answer", [{"label": 3}, {"label": [3]}, Named(3), {"label": np.array([3])}])
def test_a_mapping_dataclass_or_named_tuple_is_an_answer(answer: Any) -> None:
    found = result_of(answer, "digits")
    assert (found.model, found.label.tolist(), found.datatypes) == ("digits", [3], {"label": "INT64"})
    assert result_of(found, "digits") is found


def test_anything_else_is_none() -> None:
    with pytest.raises(InvalidInput, match=r"what answers for 'digits' must return a mapping of outputs, .* not a int"):
        result_of(3, "digits")


class Recorder:
    def __init__(self) -> None:
        self.calls: list[Any] = []

    def call_model(
        self, name: str, version: str, positional: Sequence[Any], inputs: Mapping[str, Any], options: HandleOptions
    ) -> Any:
        self.calls.append((name, version, tuple(positional), dict(inputs), options.timeout))
        return "symbol"

    def call_step(self, step: Any, positional: Sequence[Any], inputs: Mapping[str, Any], options: Any = None) -> Any:
        raise AssertionError("no step is called")


def test_while_a_pipeline_is_traced_calls_are_recorded_and_not_made() -> None:
    tracing = Recorder()
    token = recorder.set(tracing)
    try:
        found: Any = digits.options(version=2, timeout=1)("x")
        assert found == "symbol"
        read_digit(b"png", size=3)
    finally:
        recorder.reset(token)
    assert tracing.calls == [
        ("digits", "2", ("x",), {}, 1.0),
        ("ReadDigit", "", (), {"png": b"png", "size": 3}, None),
    ]
