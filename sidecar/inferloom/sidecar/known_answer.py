"""The proof that a Triton environment computes: a tiny model on its Python backend that doubles a vector.

With numpy 2 in the environment this Triton starts, says READY and answers zeros; only an answer tells.
"""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path

from inferloom.mesh.errors import ConfigError
from inferloom.mesh.oip import pb
from inferloom.mesh.process import start
from inferloom.sidecar.diagnosis import why_ended
from inferloom.sidecar.infer import answer_values
from inferloom.sidecar.managed import ManagedRuntime
from inferloom.sidecar.ports import free_ports
from inferloom.sidecar.triton import TritonClient, TritonError, one_line

__all__ = ["check_known_answer"]

CONFIG = """
backend: "python"
input [{ name: "x" data_type: TYPE_FP32 dims: [4] }]
output [{ name: "y" data_type: TYPE_FP32 dims: [4] }]
instance_group [{ kind: KIND_CPU }]
"""
MODEL = """
import triton_python_backend_utils as pb


class TritonPythonModel:
    def execute(self, requests):
        return [
            pb.InferenceResponse([pb.Tensor("y", pb.get_input_tensor_by_name(r, "x").as_numpy() * 2)]) for r in requests
        ]
"""
VALUES = (1.5, -2.0, 0.25, 1024.0)
TIMEOUT = 60.0  # seconds for the start, and for the load


async def check_known_answer(runtime: ManagedRuntime) -> str:
    """Start the server, ask it, stop it. Returns Triton's version.

    Raises:
        ConfigError: it did not start, or the answer was wrong.
    """
    with tempfile.TemporaryDirectory(prefix="inferloom-check-") as name:
        repository = Path(name)
        (repository / "double" / "1").mkdir(parents=True)
        (repository / "double" / "config.pbtxt").write_text(CONFIG)
        (repository / "double" / "1" / "model.py").write_text(MODEL)
        http, grpc_port, metrics = free_ports(3)
        command = runtime.command(repository=repository, http_port=http, grpc_port=grpc_port, metrics_port=metrics)
        child = await start(command, env=runtime.environment(), name="Triton")
        client = TritonClient("127.0.0.1", grpc_port)
        try:
            await client.wait_live(TIMEOUT)
            await client.load("double", None, TIMEOUT)
            answer = await client.infer(request(), TIMEOUT)
            version = await client.version()
        except (TritonError, TimeoutError) as error:
            ended = why_ended(child.returncode, child.head, child.tail)
            why = ended if child.returncode is not None or "apt install" in ended else one_line(str(error)) or ended
            raise ConfigError(f"the Triton runtime does not work: {why}") from error
        finally:
            await client.close()
            await child.stop()
    got = answer_values(answer).get("y", ())
    if tuple(got) != tuple(2 * value for value in VALUES):
        raise ConfigError(
            f"the Triton runtime computes wrongly: twice {list(VALUES)} gave {list(got)} "
            f"(numpy {runtime.numpy} inside; it must be below 2)"
        )
    return version


def request() -> pb.ModelInferRequest:
    message = pb.ModelInferRequest(model_name="double")
    tensor = message.inputs.add(name="x", datatype="FP32")
    tensor.shape.append(len(VALUES))
    message.raw_input_contents.append(struct.pack("<4f", *VALUES))
    return message
