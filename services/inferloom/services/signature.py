"""What something takes and gives: a service's method, a Python step, a pipeline."""

from __future__ import annotations

from dataclasses import dataclass

from inferloom.clients.metadata import ModelMetadata, TensorSpec

__all__ = ["Signature"]


@dataclass(frozen=True, slots=True)
class Signature:
    """Inputs and outputs by name, as the Open Inference Protocol describes them.

    A scalar is a tensor of shape [1], a list one of [-1]. With `rows` the first dimension of every input and output is
    the batch, and each row is answered for itself: such calls may be joined.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    rows: bool = False
    streams: bool = False  # any number of answers per request

    @staticmethod
    def of(metadata: ModelMetadata) -> Signature:
        """A model's: it is row-wise where it batches."""
        rows = bool(metadata.max_batch_size)
        return Signature(metadata.inputs, metadata.outputs, rows, metadata.decoupled)
