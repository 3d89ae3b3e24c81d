"""The running sum of each sequence: right only where all of a sequence came here."""

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def initialize(self, args):
        self.sums = {}

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        sequence = int(value(request, "CORRID"))
        before = 0.0 if value(request, "START") else self.sums[sequence]
        total = self.sums[sequence] = before + float(value(request, "x"))
        return pb_utils.InferenceResponse([pb_utils.Tensor("sum", np.array([[total]], np.float32))])


def value(request, name):
    return pb_utils.get_input_tensor_by_name(request, name).as_numpy().ravel()[0]
