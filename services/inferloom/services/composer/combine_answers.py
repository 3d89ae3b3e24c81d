"""Members' answers to an ensemble's outputs: tensors in, tensors out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from grpc import StatusCode

from inferloom.mesh.errors import InferloomError, InvalidInput, ReplicaError
from inferloom.services.composer.combine import COMBINERS, Array, concat, vote
from inferloom.services.composer.node_ensemble import Answer, Combine
from inferloom.services.composer.node_step import Action
from inferloom.services.composer.run import Frame
from inferloom.services.tensor import Tensor

__all__ = ["by_function", "combiner"]

LABEL, SHARE = "label", "share"


def combiner(how: str, output: str, where: str) -> Combine:
    """mean, weighted_mean, median, max, concat, vote or weighted_vote.

    Args:
        output: name of what it gives; a vote gives `label` and `share`.
    """

    async def votes(answers: Sequence[Answer], frame: Frame) -> Mapping[str, Tensor]:
        label, share = vote(_arrays(answers, where), [answer.weight for answer in answers])
        datatype = answers[0].tensor.datatype if label.dtype.kind != "i" else ""
        return {LABEL: Tensor.of(label, datatype), SHARE: Tensor.of(share)}

    async def others(answers: Sequence[Answer], frame: Frame) -> Mapping[str, Tensor]:
        array = calculate(_arrays(answers, where, how), [answer.weight for answer in answers])
        datatype = answers[0].tensor.datatype
        kept = array.dtype.kind == "f" and datatype.startswith(("FP", "BF")) and datatype != "FP64"
        return {output: Tensor.of(array, datatype if kept or how in ("max", "concat") else "")}

    if how in ("vote", "weighted_vote"):
        return votes
    calculate = COMBINERS[how]
    return others


def by_function(action: Action, slot: int, where: str, *, side_by_side: bool) -> Combine:
    """What a model makes of the answers side by side along the last axis, or a Python step of them along a new first one.

    Args:
        action: calls it, with the value of `slot` as its input.
    """

    async def combine(answers: Sequence[Answer], frame: Frame) -> Mapping[str, Tensor]:
        arrays = _arrays(answers, where, "concat" if side_by_side else "")
        array = concat(arrays, ()) if side_by_side else np.stack(arrays)
        frame.values[slot] = Tensor.of(array, answers[0].tensor.datatype)
        found = await action.run(frame)
        if found is None:
            raise InferloomError(f"{where}: it was skipped")
        return found

    return combine


def _arrays(answers: Sequence[Answer], where: str, how: str = "") -> list[Array]:
    """The members' arrays. They agree in shape, but for the last dimension where they are put side by side."""
    try:
        arrays = [answer.tensor.array for answer in answers]
    except InvalidInput as error:
        raise ReplicaError(StatusCode.INTERNAL, f"{where}: {error}") from None
    shapes = [array.shape[:-1] if how == "concat" else array.shape for array in arrays]
    if any(shape != shapes[0] for shape in shapes):
        told = ", ".join(f"{answer.name} {list(answer.tensor.shape)}" for answer in answers)
        raise ReplicaError(StatusCode.INTERNAL, f"{where}: its members' outputs differ in shape: {told}")
    return arrays
