"""Adds a number to its input, and takes its time: `work_ms` is slept once per execution, however many rows came.

That is how an accelerator behaves while a batch is small beside it. The sleep takes no CPU time from what is measured.
"""

import json
import time

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        parameters = json.loads(args["model_config"])["parameters"]
        self.adds = np.float32(parameters["adds"]["string_value"])
        self.work_s = float(parameters["work_ms"]["string_value"]) / 1e3

    def execute(self, requests):
        if self.work_s:
            time.sleep(self.work_s)
        return [
            pb_utils.InferenceResponse(
                [pb_utils.Tensor("y", pb_utils.get_input_tensor_by_name(request, "x").as_numpy() + self.adds)]
            )
            for request in requests
        ]
