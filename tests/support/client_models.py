"""Models that show a client everything a server can do, for Triton's Python backend."""

from __future__ import annotations

from pathlib import Path

from tests.support.triton import write_model

__all__ = ["DATATYPES", "write_models"]

DATATYPES = (
    "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64", "BF16",
    "BYTES",
)  # fmt: skip

# Input and output of each datatype share a name; every input is optional, and what comes goes back.
IDENTITY = """
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        return [pb_utils.InferenceResponse(list(request.inputs())) for request in requests]
"""

DOUBLE = """
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        found = [pb_utils.get_input_tensor_by_name(request, "x").as_numpy() for request in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("y", x * 2)]) for x in found]
"""

# Answers n times with 0 .. n-1; a negative n is an error.
REPEAT = """
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            sender = request.get_response_sender()
            times = int(pb_utils.get_input_tensor_by_name(request, "times").as_numpy()[0])
            if times < 0:
                error = pb_utils.InferenceResponse(error=pb_utils.TritonError("times is negative"))
                sender.send(error, flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
                continue
            for turn in range(times):
                sender.send(pb_utils.InferenceResponse([pb_utils.Tensor("turn", np.array([turn], np.int32))]))
            sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
"""

RAISES = """
class TritonPythonModel:
    def execute(self, requests):
        raise ValueError("the moon is full")
"""

# Runs for the given time and counts the requests that it ran.
SLEEP = """
import time
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    ran = 0

    def execute(self, requests):
        answers = []
        for request in requests:
            if request.is_cancelled():
                error = pb_utils.TritonError("cancelled", pb_utils.TritonError.CANCELLED)
                answers.append(pb_utils.InferenceResponse(error=error))
                continue
            seconds = float(pb_utils.get_input_tensor_by_name(request, "seconds").as_numpy().ravel()[0])
            end = time.monotonic() + seconds
            while time.monotonic() < end and not request.is_cancelled():
                time.sleep(0.005)
            TritonPythonModel.ran += not request.is_cancelled()
            ran = np.array([[TritonPythonModel.ran]], np.int32)
            answers.append(pb_utils.InferenceResponse([pb_utils.Tensor("ran", ran)]))
        return answers
"""


def _tensor(name: str, datatype: str, dims: str = "-1", more: str = "") -> str:
    kind = "STRING" if datatype == "BYTES" else datatype
    return f'{{ name: "{name}" data_type: TYPE_{kind} dims: [{dims}] {more}}}'


def write_models(repository: Path) -> None:
    """identity, double, repeat, raises and sleep."""
    inputs = ", ".join(_tensor(name, name, "-1, -1", "optional: true ") for name in DATATYPES)
    outputs = ", ".join(_tensor(name, name, "-1, -1") for name in DATATYPES)
    write_model(repository, "identity", f"max_batch_size: 0\ninput [{inputs}]\noutput [{outputs}]\n", IDENTITY)
    double = f"max_batch_size: 8\ninput [{_tensor('x', 'FP32', '4')}]\noutput [{_tensor('y', 'FP32', '4')}]\n"
    write_model(repository, "double", double + "dynamic_batching {}\n", DOUBLE)
    repeat = f"input [{_tensor('times', 'INT32', '1')}]\noutput [{_tensor('turn', 'INT32', '1')}]\n"
    write_model(repository, "repeat", repeat + "model_transaction_policy { decoupled: true }\n", REPEAT)
    raises = f"input [{_tensor('x', 'FP32')}]\noutput [{_tensor('y', 'FP32')}]\n"
    write_model(repository, "raises", raises, RAISES)
    sleep = f"max_batch_size: 4\ninput [{_tensor('seconds', 'FP32', '1')}]\noutput [{_tensor('ran', 'INT32', '1')}]\n"
    write_model(repository, "sleep", sleep + "dynamic_batching {}\n", SLEEP)
