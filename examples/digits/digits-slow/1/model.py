"""The MLP with a second of work added: a plain Python model for Triton.

Long enough to be in flight when a replica is killed. One batch of up to 16 images takes one second, and two instances
work at once, so a replica carries up to 32 images a second.
"""

import time
from pathlib import Path

import numpy as np
import onnxruntime
import triton_python_backend_utils as pb_utils

WORK_S = 1.0


class TritonPythonModel:
    def initialize(self, args):
        file = Path(args["model_repository"], args["model_version"], "model.onnx")
        self.session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])

    def execute(self, requests):
        # A caller that has gone gets no second of work.
        wanted = [not request.is_cancelled() for request in requests]
        images = [pixels_of(request) for request, live in zip(requests, wanted, strict=True) if live]
        answers = iter(self.answer(images))
        return [next(answers) if live else cancelled() for live in wanted]

    def answer(self, images):
        """One response per request; `images` holds FP32 [n, 64] arrays, run as one batch."""
        if not images:
            return []
        time.sleep(WORK_S)
        labels, probabilities = self.session.run(["label", "probabilities"], {"pixels": np.concatenate(images)})
        cuts = np.cumsum([len(rows) for rows in images])[:-1]
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor("label", mine), pb_utils.Tensor("probabilities", shares)])
            for mine, shares in zip(np.split(labels, cuts), np.split(probabilities, cuts), strict=True)
        ]


def pixels_of(request):
    return pb_utils.get_input_tensor_by_name(request, "pixels").as_numpy()


def cancelled():
    return pb_utils.InferenceResponse(error=pb_utils.TritonError("cancelled", pb_utils.TritonError.CANCELLED))
