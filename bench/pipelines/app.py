"""What `python -m bench pipelines` serves: `inferloom host bench/pipelines/app.py --pipelines`.

`three-W` runs three of the models of `bench.repository` one after another, `four-W` asks four at once and gives the mean; W
is the work of each in ms. `three-single` and `four-single` do it with models that take one request at a time.
"""

from __future__ import annotations

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
        return Answer(y=third(x=twice.y).y)  # type: ignore[attr-defined]

    @pipeline(f"four-{work}", timeout="30s")
    def four(x: X) -> Answer:
        combined: Any = mean(first(x=x), second(x=x), third(x=x), fourth(x=x))
        return Answer(y=combined.y)

    return three, four


three_0, four_0 = declare("0")
three_1, four_1 = declare("1")
three_5, four_5 = declare("5")
three_20, four_20 = declare("20")
three_single, four_single = declare("single")


@service(idempotent=True)
class AddOne:
    """The work of `stage-0-1`, as a service."""

    async def predict(self, x: X) -> Answer:
        return Answer(x + np.float32(1))
