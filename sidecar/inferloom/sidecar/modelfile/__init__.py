"""What a file is: whether it is a model, of which kind, and how Triton's repository holds it."""

from inferloom.sidecar.modelfile.model import Kind, ModelFile
from inferloom.sidecar.modelfile.recognise import name_from, recognise
from inferloom.sidecar.modelfile.tensor import TensorType
from inferloom.sidecar.modelfile.warmup import Warmup, load_warmup

__all__ = ["Kind", "ModelFile", "TensorType", "Warmup", "load_warmup", "name_from", "recognise"]
