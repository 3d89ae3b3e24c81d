"""`run_local` of pipelines: the graph runs here, and functions stand for what it calls."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pytest
from grpc import StatusCode

from inferloom.clients.result import InferResult
from inferloom.mesh.errors import ConfigError, InferloomError, InvalidInput, NoReplica, ReplicaError, Unreachable
from inferloom.sdk import Outputs, mean, model, pipeline, route, service, shape, stack, step, vote

svm, mlp, forest, final = (model(name) for name in ("digits-svm", "digits-mlp", "digits-forest", "digits-final"))
Pixels = Annotated[npt.NDArray[np.float32], shape(1, 64)]


@dataclass
class Answer:
    label: int
    share: float


@step
def decode(png: bytes) -> Pixels:
    return np.full((1, 64), len(png), np.float32)


@step(replicas=2)
def hosted(png: bytes) -> Pixels:
    return np.full((1, 64), 7, np.float32)


@service
class Caption:
    async def predict(self, label: int, loud: bool = False) -> str:
        raise NotImplementedError


@pipeline
def digits(png: bytes) -> Answer:
    pixels = decode(png)
    votes = vote(svm(pixels).label, mlp(pixels=pixels).label, forest(pixels).label, quorum=2)
    return Answer(votes.label, votes.share)


@pipeline
def open_(png: bytes) -> Outputs:
    here = svm(hosted(png))
    return Outputs(label=here.label, probabilities=here.probabilities)


@pipeline
def captioned(png: bytes, loud: bool = True) -> str:
    return Caption(label=svm(decode(png)).label, loud=loud)  # type: ignore[return-value, call-arg]


@pipeline
def stacked(png: bytes) -> Outputs:
    pixels = decode(png)
    return Outputs(y=stack(svm(pixels).p, mlp(pixels).p, into=final).y, mean=mean(svm(pixels).p, mlp(pixels).p).p)


@pipeline
def routed(tier: str, png: bytes) -> Outputs:
    pixels = decode(png)
    return Outputs(label=route(on=tier, arms={"gold": forest(pixels)}, default=svm(pixels)).label)


@pipeline
def shared(png: bytes) -> Outputs:
    pixels = decode(png)
    return Outputs(label=route(by="user", arms={"a": (1, svm(pixels)), "b": (1, mlp(pixels))}).label)


@pipeline
def patient(png: bytes) -> Outputs:
    return Outputs(label=svm.options(fallback={"label": [[9]]})(decode(png)).label)


@pipeline
def other_way(png: bytes) -> Outputs:
    return Outputs(label=svm.options(fallback=mlp)(decode(png)).label)


@pipeline
def bare(png: bytes) -> Outputs:
    return svm(decode(png))  # type: ignore[return-value]


def says(label: int) -> Any:
    return lambda pixels: {"label": np.array([label]), "probabilities": np.zeros((1, 10), np.float32)}


def broken(pixels: Any) -> Any:
    raise OSError("no disk")


def test_steps_run_and_functions_answer_with_what_is_annotated() -> None:
    seen: list[Any] = []

    async def one(pixels: Any) -> Any:
        seen.append(pixels)
        return {"label": [3]}

    answer = digits.run_local(png=b"four", handles={"digits-svm": one, "digits-mlp": says(3), "digits-forest": says(5)})
    assert answer == Answer(3, 2 / 3)
    assert [(pixels.shape, pixels.dtype, float(pixels[0, 0])) for pixels in seen] == [((1, 64), np.float32, 4.0)]


def test_one_that_raises_is_a_member_that_fails() -> None:
    handles = {"digits-svm": broken, "digits-mlp": says(3), "digits-forest": says(3)}
    assert digits.run_local(b"x", handles=handles).label == 3
    with pytest.raises(NoReplica, match=r"pipeline 'digits', node 'votes': no quorum of 2 of 3 .*OSError: no disk"):
        digits.run_local(b"x", handles={**handles, "digits-mlp": broken})


def test_open_outputs_are_a_result_and_a_hosted_step_runs_here() -> None:
    answer: Any = open_.run_local(b"x", handles={"digits-svm": says(4)})
    assert isinstance(answer, InferResult)
    assert (answer.label.tolist(), answer.probabilities.shape) == ([4], (1, 10))


def test_what_stands_for_a_service_takes_and_gives_its_python_values() -> None:
    def caption(label: int, loud: bool) -> str:
        assert type(label) is int
        return f"{label}{'!' if loud else ''}"

    handles: dict[str, Any] = {"digits-svm": lambda pixels: {"label": np.array([4])}, "Caption": caption}
    assert captioned.run_local(b"x", handles=handles) == "4!"
    assert captioned.run_local(b"x", loud=False, handles=handles) == "4"


def test_what_is_combined_goes_into_a_model() -> None:
    def p(value: float) -> Any:
        return lambda pixels: {"p": np.array([[value, 1 - value]], np.float32)}

    def total(both: Any) -> Any:
        return {"y": both.sum(axis=-1)}

    handles = {"digits-svm": p(0.25), "digits-mlp": p(0.75), "digits-final": total}
    answer: Any = stacked.run_local(b"x", handles=handles)
    assert answer.y.tolist() == [2.0]
    assert answer.mean.tolist() == [[0.5, 0.5]]


def test_only_the_arm_that_is_taken_is_called() -> None:
    handles: dict[str, Any] = {"digits-forest": says(1), "digits-svm": broken}
    answer: Any = routed.run_local("gold", b"x", handles=handles)
    assert answer.label.tolist() == [1]
    with pytest.raises(ReplicaError, match="no disk"):
        routed.run_local("tin", b"x", handles=handles)


def test_a_route_by_shares_takes_one_of_its_arms() -> None:
    answer: Any = shared.run_local(b"x", handles={"digits-svm": says(1), "digits-mlp": says(2)})
    assert answer.label.tolist() in ([1], [2])


def test_fallbacks_stand_in() -> None:
    answer: Any = patient.run_local(b"x", handles={"digits-svm": broken})
    assert answer.label.tolist() == [[9]]
    answer = other_way.run_local(b"x", handles={"digits-svm": broken, "digits-mlp": says(6)})
    assert answer.label.tolist() == [6]


async def test_it_works_where_a_loop_runs_and_with_what_was_replaced_before() -> None:
    with svm.replaced(says(8)):
        answer: Any = patient.run_local(b"x")
    assert answer.label.tolist() == [8]
    assert asyncio.get_running_loop().is_running()


def test_what_the_function_does_not_give_is_named() -> None:
    with pytest.raises(InferloomError, match="'digits-svm' gives lable, and its output 'label' is used") as caught:
        routed.run_local("tin", b"x", handles={"digits-svm": lambda pixels: {"lable": [1]}, "digits-forest": says(1)})
    assert caught.value.code is StatusCode.INVALID_ARGUMENT


def test_all_outputs_of_a_function_cannot_be_told_before_it_is_called() -> None:
    with pytest.raises(
        ConfigError, match=r"test_pipeline_local.py:\d+: pipeline 'bare' returns all outputs of 'digits-s"
    ):
        bare.run_local(b"x", handles={"digits-svm": says(1)})


def test_a_wrong_argument_is_refused_as_by_the_function() -> None:
    with pytest.raises(InvalidInput, match=r"digits\(png: bytes\)"):
        digits.run_local(jpg=b"x", handles={})


def test_what_is_not_replaced_is_asked_of_the_mesh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFERLOOM_MESH", "127.0.0.1:1")
    with pytest.raises(Unreachable, match=r"'digits-\w+' is called \(replaced are digits-svm\), and no mesh answers"):
        digits.run_local(b"x", handles={"digits-svm": says(3)})
