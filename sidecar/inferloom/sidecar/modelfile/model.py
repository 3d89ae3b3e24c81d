"""A model in a file, before it is in a repository."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from inferloom.sidecar.modelfile.tensor import TensorType

__all__ = ["Kind", "ModelFile"]


_EXTRAS = {"joblib": "sklearn", "scikit-learn": "sklearn", "torch": "torch", "xgboost": "xgboost"}


class Kind(StrEnum):
    ONNX = "onnx"
    SKLEARN = "scikit-learn"
    XGBOOST = "xgboost"
    TORCHSCRIPT = "torchscript"
    TORCH_EXPORT = "torch.export"
    PYTHON = "python"
    TRITON_PYTHON = "triton python"  # a file that has TritonPythonModel itself
    TRITON = "triton"  # a folder with config.pbtxt or version folders


@dataclass(frozen=True, slots=True)
class ModelFile:
    """What `recognise` found.

    `inputs` and `outputs` are those that can be read without loading the model; both empty otherwise (Triton reads them
    when it loads it). `batched` is None where only loading tells whether the first dimension is a batch.
    """

    kind: Kind
    path: Path
    description: str  # one line for people
    backend: str = ""  # Triton's backend; "" where the folder's own configuration says
    files: tuple[tuple[str, Path], ...] = ()  # (name within VERSION/, where it is now); a folder is copied whole
    wrapper: str = ""  # of inferloom.sidecar.backends, placed beside `files`
    inputs: tuple[TensorType, ...] = ()
    outputs: tuple[TensorType, ...] = ()
    batched: bool | None = None
    parameters: tuple[tuple[str, str], ...] = ()  # for config.pbtxt
    needs: tuple[str, ...] = field(default=())  # Python packages that Triton's environment must have, as pip names them

    @property
    def extras(self) -> tuple[str, ...]:
        """Extras of the managed runtime that bring `needs`, as far as there are any."""
        names = {_EXTRAS.get(package) for package in self.needs}
        return tuple(sorted(name for name in names if name))
