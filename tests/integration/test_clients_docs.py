"""The examples of docs/client.md run as they stand."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import numpy as np

from inferloom.sdk import MeshClient
from tests.support.triton import running_triton, write_model

DOCS = Path(__file__).parents[2] / "docs" / "client.md"
CONFIG = """
input [{ name: "pixels" data_type: TYPE_FP32 dims: [-1, 64] }]
output [{ name: "label" data_type: TYPE_INT64 dims: [-1] }, { name: "probabilities" data_type: TYPE_FP32 dims: [-1, 10] }]
"""
# Of the shape of the digits classifiers: the brightest of the first ten pixels wins.
DIGITS = """
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for request in requests:
            logits = pb_utils.get_input_tensor_by_name(request, "pixels").as_numpy()[:, :10]
            weights = np.exp(logits - logits.max(1, keepdims=True))
            tensors = [
                pb_utils.Tensor("label", logits.argmax(1)),
                pb_utils.Tensor("probabilities", weights / weights.sum(1, keepdims=True)),
            ]
            wanted = request.requested_output_names()
            answers.append(pb_utils.InferenceResponse([t for t in tensors if t.name() in wanted]))
        return answers
"""


async def test_every_example_runs(tmp_path: Path) -> None:
    write_model(tmp_path / "models", "digits-svm", CONFIG, DIGITS)
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert len(blocks) == 6
    with running_triton(tmp_path / "models", tmp_path / "triton.log") as server:
        async with MeshClient(server.grpc) as mesh:
            for block in blocks:
                names: dict[str, Any] = {"mesh": mesh, "pixels": np.zeros((2, 64), np.float32)}
                program = block.replace("127.0.0.1:8081", server.grpc)
                code = compile(program, str(DOCS), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
                running = eval(code, names)
                if inspect.isawaitable(running):
                    await running
