"""What a sidecar knows of its models, and the record that follows from it. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

from inferloom.mesh.catalog import Replica, State, version_key
from inferloom.mesh.latest import Latest

__all__ = ["Board", "Life", "ModelStatus", "Phase", "SidecarStatus"]


class Phase(StrEnum):
    """Where a model, or Triton itself, stands."""

    STARTING = "starting"
    LOADING = "loading"
    WARMING = "warming"  # its first requests are under way
    SERVING = "serving"
    FAILED = "failed"
    DRAINING = "draining"
    DOWN = "down"  # Triton itself has died or does not answer


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """One model in this sidecar's Triton. `message` is one line for people, "" where all is well."""

    model: str
    phase: Phase
    message: str = ""
    versions: tuple[str, ...] = ()  # those that take requests, oldest first


@dataclass(frozen=True, slots=True)
class SidecarStatus:
    """All of it, for progress displays: a new object with each change."""

    phase: Phase = Phase.STARTING  # Triton's own
    message: str = ""
    generation: int = 0
    looked: bool = False  # what is to be loaded is known: until then no models are no answer
    models: Mapping[str, ModelStatus] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Life:
    """One run of a Triton process: where it listens. `generation` grows with each."""

    host: str
    port: int
    http_port: int
    generation: int


class Board:
    """Holds the status and tells `publish` each record that changed (None: it is gone).

    Args:
        record: the fields that are the same for all models: id, weight, locality.

    Attributes:
        check: address of the health service that answers for them; set it before the first `begin`.
    """

    def __init__(self, record: Replica, publish: Callable[[str, Replica | None], None]) -> None:
        self._record = record
        self.check = record.check
        self._publish = publish
        self._records: dict[str, Replica] = {}
        self._life: Life | None = None
        self.status: Latest[SidecarStatus] = Latest(SidecarStatus())

    @property
    def models(self) -> Mapping[str, ModelStatus]:
        return self.status.value.models

    def record(self, model: str) -> Replica | None:
        """The record of a model as it was last published."""
        return self._records.get(model)

    def begin(self, life: Life) -> None:
        """A new Triton is starting; its models are not loaded yet. Their records keep the old address until they serve."""
        self._life = life
        self._set(phase=Phase.STARTING, generation=life.generation)

    def up(self) -> None:
        self._set(phase=Phase.SERVING, message="")

    def down(self, problem: str, *, lost: bool) -> None:
        """Triton does not answer, or has ended (`lost`: what was loaded is no longer)."""
        models = dict(self.models)
        if lost:
            models = {name: ModelStatus(name, Phase.STARTING) for name in models}
        self._set(phase=Phase.DOWN, message=problem, models=models)

    def looked(self) -> None:
        """The repository, or an attached Triton's index, has been read, and what is in it has been shown."""
        self._set(looked=True)

    def draining(self) -> None:
        self._set(phase=Phase.DRAINING, message="")

    def show(self, model: str, phase: Phase, message: str = "", versions: Sequence[str] | None = None) -> None:
        """What a model is doing now. Versions None: as before."""
        known = self.models.get(model)
        kept = (known.versions if known else ()) if versions is None else tuple(sorted(versions, key=version_key))
        self._set(models={**self.models, model: ModelStatus(model, phase, message, kept)})

    def forget(self, model: str) -> None:
        self._set(models={name: status for name, status in self.models.items() if name != model})

    def _set(self, models: Mapping[str, ModelStatus] | None = None, **changes: object) -> None:
        status = replace(self.status.value, **changes)  # type: ignore[arg-type]
        if models is not None:
            status = replace(status, models=MappingProxyType(dict(models)))
        if status == self.status.value:
            return
        for name in self._records.keys() - status.models.keys():
            del self._records[name]
            self._publish(name, None)
        for name, model in status.models.items():
            made = self._make(model, status)
            if made != self._records.get(name):
                self._records[name] = made
                self._publish(name, made)
        self.status.set(status)

    def _make(self, model: ModelStatus, whole: SidecarStatus) -> Replica:
        known = self._records.get(model.model)
        if Phase.DRAINING in (whole.phase, model.phase):
            state = State.DRAINING
        elif whole.phase is Phase.SERVING and model.versions:
            state = State.SERVING
        else:
            state = State.STARTING
        under_way = model.phase in (Phase.STARTING, Phase.LOADING, Phase.WARMING)
        problem = whole.message if whole.phase is Phase.DOWN else "" if under_way else model.message
        made = replace(
            self._record, model=model.model, state=state, versions=model.versions, problem=problem, check=self.check
        )
        if known is not None and state is not State.SERVING:
            place = Life(known.host, known.port, known.http_port, known.generation)
        else:
            assert self._life is not None, "begin() comes first"
            place = self._life
        return replace(made, host=place.host, port=place.port, http_port=place.http_port, generation=place.generation)
