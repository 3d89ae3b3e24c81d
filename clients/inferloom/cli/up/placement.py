"""Which Triton holds which model. Pure: documents in, places out.

Models that ask for no GPU share Tritons: as many as the model with the most replicas needs, each model on the least loaded
ones. A model that asks for GPUs has a Triton of its own for each replica, with its own GPUs. What is placed stays where it
is while it can.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from inferloom.cli.up.documents import ModelSpec
from inferloom.mesh.errors import InvalidInput

__all__ = ["Place", "place"]


@dataclass(frozen=True, slots=True)
class Place:
    """One Triton: its models, and the GPUs it may see."""

    id: str
    models: frozenset[str]
    gpus: tuple[str, ...] = ()


def place(models: Iterable[ModelSpec], before: Mapping[str, Place] = {}, gpus: Sequence[str] = ()) -> dict[str, Place]:
    """Places by Triton's id.

    Args:
        before: where things are now.
        gpus: the ids of this machine's GPUs.

    Raises:
        InvalidInput: more GPUs are asked for than there are.
    """
    specs = sorted(models, key=lambda spec: spec.name)
    shared = [spec for spec in specs if spec.gpus == 0]
    places = _shared(shared, before)
    return places | _own([spec for spec in specs if spec.gpus > 0], before, gpus)


def _shared(specs: Sequence[ModelSpec], before: Mapping[str, Place]) -> dict[str, Place]:
    count = max((spec.replicas for spec in specs), default=0)
    ids = [f"triton-{number}" for number in range(count)]
    held: dict[str, set[str]] = {key: set() for key in ids}
    for spec in specs:
        present = [key for key in ids if key in before and spec.name in before[key].models]
        for key in present[: spec.replicas]:
            held[key].add(spec.name)
    for spec in specs:
        missing = spec.replicas - sum(spec.name in names for names in held.values())
        free = sorted(
            (key for key in ids if spec.name not in held[key]), key=lambda key: (len(held[key]), ids.index(key))
        )
        for key in free[:missing]:
            held[key].add(spec.name)
    return {key: Place(key, frozenset(names)) for key, names in held.items()}


def _own(specs: Sequence[ModelSpec], before: Mapping[str, Place], gpus: Sequence[str]) -> dict[str, Place]:
    wanted = sum(spec.gpus * spec.replicas for spec in specs)
    if wanted > len(gpus):
        names = ", ".join(
            f"'{spec.name}' asks for {spec.gpus} GPU{'s' if spec.gpus > 1 else ''}"
            + (f" for each of {spec.replicas} replicas" if spec.replicas > 1 else "")
            for spec in specs
        )
        there = f"only {len(gpus)}" if gpus else "none"
        raise InvalidInput(
            f"{names}, and this machine has {there} (nvidia-smi, CUDA_VISIBLE_DEVICES); without --gpus it runs on the CPU"
        )
    places: dict[str, Place] = {}
    ids = {f"{spec.name}-gpu-{number}": spec for spec in specs for number in range(spec.replicas)}
    for key, spec in ids.items():
        if key in before and len(before[key].gpus) == spec.gpus:
            places[key] = before[key]
    free = [gpu for gpu in gpus if all(gpu not in taken.gpus for taken in places.values())]
    for key, spec in ids.items():
        if key not in places:
            places[key] = Place(key, frozenset({spec.name}), tuple(free[: spec.gpus]))
            del free[: spec.gpus]
    return places
