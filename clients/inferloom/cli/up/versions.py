"""Versions of one model answer the same requests: what their files say of inputs and outputs must agree."""

from __future__ import annotations

from inferloom.cli.up.documents import ModelSpec, VersionSpec
from inferloom.mesh.errors import InvalidInput
from inferloom.sidecar.modelfile.recognise import recognise
from inferloom.sidecar.modelfile.tensor import TensorType

__all__ = ["check_versions"]

Tensors = tuple[TensorType, ...]


def check_versions(spec: ModelSpec) -> None:
    """Compare each version with the oldest: the same inputs, and at least its outputs, by name and datatype.

    Shapes may differ. What only loading the file would tell is not compared.

    Raises:
        InvalidInput: they contradict; names both.
    """
    numbers = sorted(spec.versions, key=int)
    first = _tensors(spec.versions[numbers[0]])
    for number in numbers[1:]:
        other = _tensors(spec.versions[number])
        for verb, mine, its in (("takes", first[0], other[0]), ("gives", first[1], other[1])):
            if not mine or not its:
                continue
            same = _kinds(mine) == _kinds(its) if verb == "takes" else _kinds(mine) <= _kinds(its)
            if not same:
                raise InvalidInput(
                    f"version {numbers[0]} of '{spec.name}' {verb} {_listed(mine)}, and version {number} "
                    f"({spec.versions[number].source}) {verb} {_listed(its)}: give it a name of its own"
                )


def _tensors(version: VersionSpec) -> tuple[Tensors, Tensors]:
    model = recognise(version.source)
    inputs = tuple(TensorType.parse(text) for text in version.inputs) or model.inputs
    outputs = tuple(TensorType.parse(text) for text in version.outputs) or model.outputs
    return inputs, outputs


def _kinds(tensors: Tensors) -> set[tuple[str, str]]:
    return {(tensor.name, tensor.datatype) for tensor in tensors}


def _listed(tensors: Tensors) -> str:
    return ", ".join(map(str, tensors))
