"""What `python -m bench pipelines` serves: `inferloom host bench/pipelines/app.py --pipelines`.

`three-W` runs three of the models of `bench.repository` one after another, `four-W` asks four at once and gives the mean; W
is the work of each in ms. `three-single` and `four-single` do it with models that take one request at a time.
"""

from __future__ import annotations

import os
from typing import Annotated, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from inferloom.sdk import mean, model, pipeline, service, shape

X = Annotated[npt.NDArray[np.float32], shape(-1, 16)]


class Answer(NamedTuple):
    y: X


def declare(work: str) -> tuple[Any, Any]:
    prefix = "single" if work == "single" else f"stage-{work}"
    first, second, third, fourth = (model(f"{prefix}-{number}") for number in (1, 2, 3, 4))

    @pipeline(f"three-{work}", timeout="30s")
    def three(x: X) -> Answer:
        once: Any = first(x=x)
        twice: Any = second(x=once.y)
        thrice: Any = third(x=twice.y)
        return Answer(y=thrice.y)

    @pipeline(f"four-{work}", timeout="30s")
    def four(x: X) -> Answer:
        combined: Any = mean(first(x=x), second(x=x), third(x=x), fourth(x=x))
        return Answer(y=combined.y)

    return three, four


# Pipelines are found among the file's names.
for _kind in os.environ.get("INFERLOOM_BENCH_KINDS", "0 1 5 20 single").split():
    globals()[f"three_{_kind}"], globals()[f"four_{_kind}"] = declare(_kind)


@service(idempotent=True)
class AddOne:
    """The work of `stage-0-1`, as a service."""

    async def predict(self, x: X) -> Answer:
        return Answer(x + np.float32(1))
