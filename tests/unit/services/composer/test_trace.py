"""Python functions to graphs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from pydantic import BaseModel

from inferloom.mesh.errors import ConfigError
from inferloom.sdk import Outputs, combine, maximum, mean, model, pipeline, service, shape, stack, step, vote
from inferloom.services.composer.graph import spec_of
from inferloom.services.composer.trace import Traced, trace, traced
from inferloom.services.declare.pipeline import Pipeline

svm, mlp, forest = model("digits-svm"), model("digits-mlp"), model("digits-forest")

Pixels = Annotated[npt.NDArray[np.float32], shape(1, 64)]


@step
def decode(png: bytes, scale: float = 1.0) -> Pixels:
    raise NotImplementedError


@step(replicas=2)
def heavy(png: bytes) -> Pixels:
    raise NotImplementedError


@step
def pick(labels: Annotated[npt.NDArray[np.int64], shape(-1, -1)]) -> int:
    raise NotImplementedError


@service
class ReadDigit:
    async def predict(self, png: bytes) -> int:
        raise NotImplementedError

    async def other(self, png: bytes) -> str:
        raise NotImplementedError


@dataclass
class Answer:
    label: int
    share: float


class Named(NamedTuple):
    label: int


class Checked(BaseModel):
    label: int


def made(function: Callable[..., Any], **options: Any) -> dict[str, Any]:
    return spec_of(trace(pipeline("p", **options)(function).declaration))


def nodes(function: Callable[..., Any]) -> dict[str, Any]:
    return {node["name"]: node for node in made(function)["nodes"]}


def error(function: Callable[..., Any]) -> str:
    with pytest.raises(ConfigError) as raised:
        made(function)
    return str(raised.value)


def line(function: Callable[..., Any], below: int) -> str:
    """file:line of a line of the function, counted from its `def`."""
    code = function.__code__
    return f"tests/unit/services/composer/test_trace.py:{code.co_firstlineno + below}"


def test_the_digits_pipeline_becomes_the_document_that_yaml_gives() -> None:
    def digits(png: bytes) -> Outputs:
        """Reads a digit.

        More words.
        """
        pixels = decode(png)
        votes = vote(forest(pixels), svm(pixels), mlp(pixels=pixels), quorum=2, wait="50ms")
        return Outputs(label=votes.label, share=votes.share)

    assert made(digits, timeout="2s") == {
        "description": "Reads a digit.",
        "timeout": "2s",
        "types": f"{__name__}:{digits.__qualname__}",
        "inputs": [{"name": "png", "datatype": "BYTES", "shape": [1]}],
        "outputs": [{"name": "label", "source": "votes.label"}, {"name": "share", "source": "votes.share"}],
        "nodes": [
            {"name": "decode", "step": {"function": f"{__name__}:decode", "inputs": {"png": "input.png"}}},
            {
                "name": "votes",
                "ensemble": {
                    "combine": "vote",
                    "quorum": 2,
                    "wait": "50ms",
                    "members": [
                        {"name": "digits-forest", "step": {"model": "digits-forest", "inputs": {"": "decode"}}},
                        {"name": "digits-svm", "step": {"model": "digits-svm", "inputs": {"": "decode"}}},
                        {"name": "digits-mlp", "step": {"model": "digits-mlp", "inputs": {"pixels": "decode"}}},
                    ],
                },
            },
        ],
    }


def test_a_second_call_gets_a_number_and_an_ensemble_its_variable() -> None:
    def twice(a: bytes, b: bytes) -> Outputs:
        votes = mean(svm(decode(a)).probabilities, svm(decode(b)).probabilities)
        return Outputs(x=votes.probabilities, y=maximum(mlp(decode(a)), output="probabilities").probabilities)

    found = nodes(twice)
    assert list(found) == ["decode", "decode-2", "votes", "decode-3", "max"]
    members = found["votes"]["ensemble"]["members"]
    assert [member["name"] for member in members] == ["digits-svm", "digits-svm-2"]
    assert found["votes"]["ensemble"]["output"] == "probabilities"


def test_a_member_that_is_used_elsewhere_stays_a_node_and_is_passed() -> None:
    def shared(png: bytes) -> Outputs:
        pixels = decode(png)
        first = svm(pixels)
        votes = vote(first, mlp(pixels))
        return Outputs(label=votes.label, mine=first.label)

    found = nodes(shared)
    assert list(found) == ["decode", "digits-svm", "votes"]
    assert found["votes"]["ensemble"]["members"][0]["step"] == {"pass": True, "inputs": {"": "digits-svm"}}


def test_members_with_outputs_of_other_names_are_passed_under_the_first() -> None:
    def renamed(png: bytes) -> Outputs:
        pixels = decode(png)
        votes = vote(svm(pixels).label, mlp(pixels).digit)
        return Outputs(label=votes.label)

    found = nodes(renamed)
    members = found["votes"]["ensemble"]["members"]
    assert members[0]["step"] == {"model": "digits-svm", "inputs": {"": "decode"}}
    assert members[1]["step"] == {"pass": True, "inputs": {"label": "digits-mlp.digit"}}
    assert "digits-mlp" in found


def test_weights_make_a_combination_weighted() -> None:
    def weighted(png: bytes) -> Outputs:
        pixels = decode(png)
        return Outputs(label=vote(svm(pixels), mlp(pixels), weights=[1, 2.5]).label)

    ensemble = nodes(weighted)["vote"]["ensemble"]
    assert ensemble["combine"] == "weighted_vote"
    assert [member["weight"] for member in ensemble["members"]] == [1, 2.5]


def test_a_stack_names_its_model_and_a_function_its_step() -> None:
    def both(png: bytes) -> Outputs:
        pixels = decode(png)
        over = stack(svm(pixels).probabilities, mlp(pixels).probabilities, into=forest)
        mine = combine(pick, svm(pixels).label, mlp(pixels).label, quorum=1)
        return Outputs(label=over.label, mine=mine.result)

    found = nodes(both)
    assert found["over"]["ensemble"]["model"] == "digits-forest"
    assert found["over"]["ensemble"]["combine"] == "stack"
    assert found["mine"]["ensemble"]["function"] == f"{__name__}:pick"
    assert found["mine"]["ensemble"]["combine"] == "function"


def test_options_of_a_handle_become_those_of_the_step() -> None:
    def with_options(png: bytes) -> Outputs:
        pixels = decode(png)
        a = svm.options(timeout="50ms", attempts=2, version=3, fallback={"label": 7})(pixels)
        b = svm.options(skip=True)(pixels)
        c = svm.options(fallback=mlp)(pixels)
        d = svm.options(fallback=0)(pixels)
        return Outputs(a=a.label, b=b.label, c=c.label, d=d.label)

    found = nodes(with_options)
    assert found["digits-svm"]["step"] == {
        "model": "digits-svm",
        "version": "3",
        "inputs": {"": "decode"},
        "timeout": "50ms",
        "attempts": 2,
        "on_error": {"value": {"values": {"label": 7}}},
    }
    assert found["digits-svm-2"]["step"]["on_error"] == {"skip": True}
    assert found["digits-svm-3"]["step"]["on_error"] == {"model": "digits-mlp"}
    assert found["digits-svm-4"]["step"]["on_error"] == {"value": {"values": {"": 0}}}


def test_options_of_a_step_are_those_of_its_node() -> None:
    def with_options(png: bytes) -> Outputs:
        return Outputs(pixels=decode.options(timeout="20ms", attempts=1, skip=True)(png))

    assert nodes(with_options)["decode"]["step"] == {
        "function": f"{__name__}:decode",
        "inputs": {"png": "input.png"},
        "timeout": "20ms",
        "attempts": 1,
        "on_error": {"skip": True},
    }


def test_a_service_is_called_like_a_model_and_binds_by_position() -> None:
    def calls(png: bytes) -> Outputs:
        reader = ReadDigit.handle()  # type: ignore[attr-defined]  # added by @service
        return Outputs(a=reader(png), b=reader.other(png))

    found = nodes(calls)
    assert found["ReadDigit"]["step"] == {"model": "ReadDigit", "inputs": {"png": "input.png"}}
    assert found["ReadDigit-other"]["step"] == {"model": "ReadDigit.other", "inputs": {"png": "input.png"}}


def test_constants_and_defaults_are_stored_and_none_is_left_out() -> None:
    def constant(png: bytes, scale: float = 2.0, note: str | None = None) -> Outputs:
        a = decode(png, 0.5)
        b = svm(pixels=a, threshold=[0.1, 0.2], note=None)
        return Outputs(a=decode(png, scale), b=b.label)

    spec = made(constant)
    assert spec["inputs"][1:] == [
        {"name": "scale", "datatype": "FP64", "shape": [1], "optional": True, "default": 2},
        {"name": "note", "datatype": "BYTES", "shape": [1], "optional": True},
    ]
    found = {node["name"]: node["step"] for node in spec["nodes"]}
    assert found["decode"]["constants"] == {"scale": 0.5}
    assert found["digits-svm"]["constants"] == {"threshold": [0.1, 0.2]}
    assert found["decode-2"]["inputs"] == {"png": "input.png", "scale": "input.scale"}


def test_a_step_with_replicas_is_called_like_a_model() -> None:
    def placed(png: bytes) -> Outputs:
        return Outputs(pixels=heavy(png))

    assert nodes(placed)["heavy"]["step"] == {"model": "heavy", "inputs": {"png": "input.png"}}


def test_a_pipeline_is_called_like_a_model() -> None:
    inner = pipeline("inner")(answering)

    def outer(png: bytes) -> Outputs:
        return Outputs(label=inner(png=png).label)

    assert nodes(outer)["inner"]["step"] == {"model": "inner", "inputs": {"png": "input.png"}}


def answering(png: bytes) -> Answer:
    votes = vote(svm(decode(png)), mlp(decode(png)))
    return Answer(label=votes.label, share=votes.share)


def test_a_dataclass_says_what_its_outputs_are() -> None:
    assert made(answering)["outputs"] == [
        {"name": "label", "source": "votes.label", "datatype": "INT64", "shape": [1]},
        {"name": "share", "source": "votes.share", "datatype": "FP64", "shape": [1]},
    ]


def test_a_named_tuple_and_a_constructed_model_do_too() -> None:
    def tupled(png: bytes) -> Named:
        return Named(svm(decode(png)).label)

    def constructed(png: bytes) -> Checked:
        return Checked.model_construct(label=svm(decode(png)).label)

    for function in (tupled, constructed):
        assert made(function)["outputs"] == [
            {"name": "label", "source": "digits-svm.label", "datatype": "INT64", "shape": [1]}
        ]


def test_one_annotated_value_is_called_result() -> None:
    def single(png: bytes) -> int:
        label: int = svm(decode(png)).label
        return label

    assert made(single)["outputs"] == [
        {"name": "result", "source": "digits-svm.label", "datatype": "INT64", "shape": [1]}
    ]


def test_a_whole_node_gives_all_of_its_outputs() -> None:
    def whole(png: bytes) -> Outputs:
        out: Outputs = svm(decode(png))  # type: ignore[assignment]  # a traced value
        return out

    assert made(whole)["outputs"] == [{"source": "digits-svm"}]


def test_outputs_that_are_constants_come_from_a_node_of_their_own() -> None:
    def versioned(png: bytes) -> Outputs:
        return Outputs(label=svm(decode(png)).label, version="v1")

    spec = made(versioned)
    assert spec["outputs"][1] == {"name": "version", "source": "constants.version"}
    assert spec["nodes"][-1] == {"name": "constants", "step": {"pass": True, "constants": {"version": "v1"}}}


def test_lines_are_kept_beside_the_graph() -> None:
    def placed(png: bytes) -> Outputs:
        pixels = decode(png)
        votes = vote(
            svm(pixels),
            mlp(pixels),
        )
        return Outputs(label=votes.label)

    found: Traced = traced(Pipeline(pipeline("p")(placed).declaration).declaration)
    assert found.places == {
        "decode": line(placed, 1),
        "votes": line(placed, 2),
        "votes.members.digits-svm": line(placed, 3),
        "votes.members.digits-mlp": line(placed, 4),
    }


def test_a_helper_is_traced_through() -> None:
    def helped(png: bytes) -> Outputs:
        return Outputs(label=_read(png))

    assert list(nodes(helped)) == ["decode", "digits-svm"]


def _read(png: Any) -> Any:
    return svm(decode(png)).label


def test_a_pydantic_model_that_checks_its_fields_is_refused_with_the_cure() -> None:
    def checked(png: bytes) -> Checked:
        return Checked(label=svm(decode(png)).label)

    assert error(checked) == (
        f"{line(checked, 0)}: pipeline p: a pydantic model checks its fields when it is made, and traced values have none "
        "yet; return its model_construct(...), or Outputs(...)"
    )


def test_a_field_that_is_not_returned_is_named() -> None:
    def lacking(png: bytes) -> Answer:
        return Outputs(label=svm(decode(png)).label)  # type: ignore[return-value]  # on purpose

    assert error(lacking) == (f"{line(lacking, 0)}: pipeline p is annotated with share as well, but does not return it")


def test_wrong_arguments_are_named_with_their_line() -> None:
    def too_many(png: bytes) -> Outputs:
        return Outputs(x=decode(png, 1.0, 2))  # type: ignore[call-arg]  # on purpose

    def unknown(png: bytes) -> Outputs:
        return Outputs(x=decode(png=png, scal=2))  # type: ignore[call-arg]  # on purpose

    def twice(png: bytes) -> Outputs:
        return Outputs(x=decode(png, png=png))  # type: ignore[misc]  # on purpose

    def missing(png: bytes) -> Outputs:
        return Outputs(x=decode(scale=1.0))  # type: ignore[call-arg]  # on purpose

    def several(png: bytes) -> Outputs:
        return Outputs(x=svm(png, png))

    def large(png: bytes) -> Outputs:
        return Outputs(x=svm(pixels=np.zeros(5000)))

    def nested(png: bytes) -> Outputs:
        return Outputs(x=svm(pixels=[png]))

    assert error(too_many) == f"{line(too_many, 1)}: decode takes 2 arguments (png, scale), not 3"
    assert error(unknown) == f"{line(unknown, 1)}: decode has no argument 'scal'; did you mean 'scale'?"
    assert error(twice) == f"{line(twice, 1)}: decode gets 'png' twice"
    assert error(missing) == f"{line(missing, 1)}: decode needs png"
    assert error(several) == (
        f"{line(several, 1)}: digits-svm(...) has several inputs; name each of them: digits-svm(x=..., y=...)"
    )
    assert error(large) == (
        f"{line(large, 1)}: digits-svm, pixels: a constant of 5000 values; 4096 is the most: make it in a @step"
    )
    assert error(nested) == (
        f"{line(nested, 1)}: digits-svm, pixels: <input.png, while the pipeline is traced> inside a constant; "
        "give it as an input of its own, or build the value in a @step"
    )


def test_a_pipeline_that_returns_nothing_is_refused() -> None:
    def nothing(png: bytes) -> Outputs:
        decode(png)
        return None  # type: ignore[return-value]  # on purpose

    assert error(nothing) == (
        f"{line(nothing, 0)}: pipeline p returns None; return Outputs(name=value, ...) or a value of the pipeline"
    )


def test_ensembles_that_make_no_sense_are_named_with_their_line() -> None:
    def none(png: bytes) -> Outputs:
        return Outputs(x=vote())

    def weights(png: bytes) -> Outputs:
        return Outputs(x=vote(svm(png), mlp(png), weights=[1]))

    def negative(png: bytes) -> Outputs:
        return Outputs(x=vote(svm(png), mlp(png), weights=[1, -1]))

    def quorum(png: bytes) -> Outputs:
        return Outputs(x=vote(svm(png), mlp(png), quorum=3))

    def no_call(png: bytes) -> Outputs:
        return Outputs(x=vote(svm(png), 3))

    def no_time(png: bytes) -> Outputs:
        return Outputs(x=vote(svm(png), wait="soon"))

    assert error(none) == f"{line(none, 1)}: vote has no members"
    assert error(weights) == f"{line(weights, 1)}: vote has 2 members and 1 weights; one for each"
    assert error(negative) == (
        f"{line(negative, 1)}: vote: weights [1, -1]; each is above 0 (leave out a member that has none)"
    )
    assert error(quorum) == f"{line(quorum, 1)}: vote: quorum=3 of 2 members; it is from 1 to 2"
    assert error(no_call) == f"{line(no_call, 1)}: vote: 3 is no call of a model or step"
    assert error(no_time) == (
        f"{line(no_time, 1)}: vote: wait: 'soon' is no duration; write a number and ms, s, m or h: 50ms, 2s, 1m"
    )


def test_outside_of_a_pipeline_a_combiner_says_where_it_belongs() -> None:
    with pytest.raises(ConfigError) as raised:
        vote(np.ones(3), np.ones(3))
    assert str(raised.value) == (
        "vote(...) belongs into the function of a @pipeline, where calls are traced; on plain values use numpy, "
        "on answers of handles `await` them first"
    )
