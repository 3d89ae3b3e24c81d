"""Pipelines over the three classifiers of digits: a PNG goes in, a label and how sure it is come out.

Served by mesh.yaml: `inferloom up examples/digits`. Two more, digits-ab and digits-mirror, are written there as YAML.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import png as files

from inferloom.sdk import Outputs, model, pipeline, route, shape, step, vote

Pixels = Annotated[npt.NDArray[np.float32], shape(-1, 64)]
Probabilities = Annotated[npt.NDArray[np.float32], shape(-1, 10)]
Labels = Annotated[npt.NDArray[np.int64], shape(-1)]
Shares = Annotated[npt.NDArray[np.float64], shape(-1)]

SURE = 0.95  # from this probability on, the cheap model's word is enough

forest, svm, mlp = model("digits-forest"), model("digits-svm"), model("digits-mlp")


class Answer(NamedTuple):
    label: Labels
    share: Shares  # of the vote, or the cheap model's probability


class FirstLook(NamedTuple):
    sure: bool
    label: Labels
    share: Shares


class Decoded(NamedTuple):
    pixels: Pixels


@step
def decode(png: bytes) -> Decoded:
    """An 8 x 8 grey PNG as the models want it: values 0 to 16."""
    return Decoded(files.decode(png))


@step(inline=True)
def look(probabilities: Probabilities) -> FirstLook:
    """The best class, and whether it is good enough."""
    best = probabilities.max(axis=1)
    return FirstLook(bool((best >= SURE).all()), probabilities.argmax(axis=1), best.astype(np.float64))


@pipeline("digits", timeout="2s")
def digits(png: bytes) -> Answer:
    """What digit is it? Three classifiers vote; two answers are enough, and nobody is waited for longer than 300 ms."""
    pixels = decode(png).pixels
    votes: Any = vote(
        forest(pixels=pixels), svm(pixels=pixels), mlp(pixels=pixels), output="probabilities", quorum=2, wait="300ms"
    )
    return Answer(label=votes.label, share=votes.share)


@pipeline("digits-cascade", timeout="2s")
def digits_cascade(png: bytes) -> Answer:
    """The small network answers when it is sure; the other two are asked only when it is not."""
    pixels = decode(png).pixels
    cheap: Any = mlp(pixels=pixels)
    first = look(cheap.probabilities)
    votes: Any = vote(cheap.probabilities, svm(pixels=pixels).probabilities, forest(pixels=pixels).probabilities)
    answer: Any = route(
        on=first.sure,
        arms={
            "true": Outputs(label=first.label, share=first.share),
            "false": Outputs(label=votes.label, share=votes.share),
        },
    )
    return Answer(label=answer.label, share=answer.share)
