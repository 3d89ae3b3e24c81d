from typing import NamedTuple

import numpy as np

from inferloom.sdk import model, service

digits = model("digits", source="../digits/mlp.onnx")


class Answer(NamedTuple):
    label: int
    sure: float


@service
class ReadDigit:
    async def predict(self, pixels: list[float]) -> Answer:
        """Which digit the 64 pixels (8 x 8, each 0 to 16) show, and how sure the model is."""
        out = await digits(pixels=np.array([pixels], np.float32))
        return Answer(int(out.label.item()), float(out.probabilities.max()))
