"""A traced value is no value: whoever uses it as one is told the line and the two ways out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from inferloom.sdk import Outputs, model, pipeline, vote
from inferloom.services.composer.symbols import TracedValueError
from inferloom.services.composer.trace import trace

svm, mlp = model("digits-svm"), model("digits-mlp")


def test_an_if_on_a_vote_names_the_line_and_the_two_ways_out() -> None:
    def chooses(png: bytes) -> Outputs:
        votes = vote(svm(png), mlp(png))
        if votes.label == 3:
            return Outputs(label=votes.label)
        return Outputs(label=0)

    line = chooses.__code__.co_firstlineno + 2
    with pytest.raises(TracedValueError) as raised:
        trace(pipeline("p")(chooses).declaration)
    assert str(raised.value) == (
        f"tests/unit/services/composer/test_trace_symbols.py:{line}: `if votes.label == 3:` compares 'votes.label', which "
        "has no value yet: a pipeline is traced once, not run per request. To choose, use route(on=..., arms={...}); "
        "to compute, put it into a function with @step"
    )


USES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "if": (lambda x: 1 if x else 2, "decides by"),
    "not": (lambda x: not x, "decides by"),
    "equal": (lambda x: x == 3, "compares"),
    "less": (lambda x: x < 3, "compares"),
    "in": (lambda x: 3 in x, "compares"),
    "len": (len, "takes the length of"),
    "for": (lambda x: [str(each) for each in x], "loops over"),
    "unpack": (lambda x: dict([x]), "loops over"),
    "str": (str, "makes text of"),
    "f-string": (lambda x: f"{x}", "makes text of"),
    "plus": (lambda x: x + 1, "computes with"),
    "plus on the right": (lambda x: 1 + x, "computes with"),
    "minus": (lambda x: -x, "computes with"),
    "matmul": (lambda x: x @ x, "computes with"),
    "round": (round, "computes with"),
    "int": (int, "makes a number of"),
    "index": (lambda x: [1, 2][x], "makes a number of"),
    "numpy": (lambda x: np.asarray(x), "makes an array of"),
    "ufunc": (lambda x: np.exp(x), "makes an array of"),
    "numpy function": (lambda x: np.mean(x), "makes an array of"),
    "array plus": (lambda x: np.ones(3) + x, "makes an array of"),
    "key": (lambda x: {1: 2}.get(x), "looks something up by"),
    "slice": (lambda x: x[0], "indexes"),
    "output of an output": (lambda x: x.more, "takes 'more' of"),
    "call": (lambda x: x(), "calls"),
    "with": (lambda x: x.__enter__(), "enters"),
    "set": (lambda x: x.__setitem__(0, 1), "changes"),
}


@pytest.mark.parametrize("use", USES)
def test_each_use_as_a_value_is_refused(use: str) -> None:
    does, message = USES[use]

    def wrong(png: bytes) -> Outputs:
        return Outputs(x=does(svm(png).label))

    with pytest.raises(TracedValueError, match=f"{message} 'digits-svm.label', which has no value yet"):
        trace(pipeline("p")(wrong).declaration)


def test_a_symbol_shows_itself_to_a_debugger() -> None:
    seen = []

    def shown(png: bytes) -> Outputs:
        seen.append(repr(svm(png)["label"]))
        return Outputs(x=svm(png))

    trace(pipeline("p")(shown).declaration)
    assert seen == ["<digits-svm.label, while the pipeline is traced>"]
