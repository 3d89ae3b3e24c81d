"""Model files to test with, and a real Triton that serves them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import np_to_triton_dtype

from inferloom.sidecar.modelfile import TensorType
from inferloom.sidecar.repository import place
from tests.support.triton import running_triton

__all__ = ["DATA", "EXPECTED", "ROWS", "ModelServer", "model_server", "rows", "tensors"]

DATA = Path(__file__).parents[1] / "data" / "models"
EXPECTED: dict[str, Any] = json.loads((DATA / "expected.json").read_text())
ROWS: list[list[float]] = EXPECTED["rows"]

Array = npt.NDArray[Any]


class ModelServer:
    """A Triton in explicit mode and its repository."""

    def __init__(self, address: str, repository: Path) -> None:
        self.repository = repository
        self.client = InferenceServerClient(address)
        self.client.is_server_live()  # connects

    def serve(self, source: Path, name: str, version: str = "", **options: Any) -> None:
        """Place a file and load it; raises Triton's error where that fails."""
        place(source, self.repository, name, version, **options)
        self.load(name)

    def load(self, name: str) -> None:
        self.client.load_model(name)

    def clear(self) -> None:
        """Unload and delete every model, and wait until the processes that ran them have ended."""
        for entry in self.client.get_model_repository_index().models:
            if entry.state == "READY":
                self.client.unload_model(entry.name)
        shutil.rmtree(self.repository)
        self.repository.mkdir()
        gone, alive = psutil.wait_procs(self.processes(), timeout=10)
        assert not alive, f"{alive} still run, {gone} have ended"

    def processes(self) -> list[psutil.Process]:
        """Those that run a model of this repository."""
        found = []
        for process in psutil.Process(os.getpid()).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if any(argument.startswith(f"{self.repository}/") for argument in process.cmdline()):
                    found.append(process)
        return found

    def signature(self, name: str) -> tuple[list[str], list[str]]:
        """Inputs and outputs, each as "x FP32[-1,4]"."""
        metadata = self.client.get_model_metadata(name)
        return tuple(
            [str(TensorType(t.name, t.datatype, tuple(t.shape))) for t in side]  # type: ignore[return-value]
            for side in (metadata.inputs, metadata.outputs)
        )

    def ask(self, name: str, version: str = "", **inputs: Array) -> dict[str, Array]:
        """The model's answer."""
        result = self.client.infer(name, tensors(inputs), model_version=version, client_timeout=20)
        return {output.name: result.as_numpy(output.name) for output in result.get_response().outputs}


def tensors(inputs: dict[str, Array]) -> Sequence[Any]:
    found = []
    for name, array in inputs.items():
        one = InferInput(name, array.shape, np_to_triton_dtype(array.dtype))
        one.set_data_from_numpy(array)
        found.append(one)
    return found


@contextmanager
def model_server(folder: Path) -> Iterator[ModelServer]:
    """A Triton without models; its repository and log are in `folder`."""
    repository = folder / "repository"
    repository.mkdir()
    with running_triton(repository, folder / "triton.log", extra=()) as triton:
        server = ModelServer(triton.grpc, repository)
        try:
            yield server
        finally:
            server.client.close()


def rows(kind: type[np.generic] = np.float32) -> Array:
    return np.array(ROWS, kind)
