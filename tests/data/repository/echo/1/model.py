"""y is x; parameters is the request's parameters as JSON, forwarded headers among them."""

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [answer(request) for request in requests]


def answer(request):
    x = pb_utils.get_input_tensor_by_name(request, "x").as_numpy()
    said = np.array([[request.parameters().encode()]] * len(x), np.object_)
    return pb_utils.InferenceResponse([pb_utils.Tensor("y", x), pb_utils.Tensor("parameters", said)])
