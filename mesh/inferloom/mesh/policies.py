"""The policies in force: what the documents say, over what the replicas say of themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import structlog

from inferloom.mesh.catalog import Model, Repeat
from inferloom.mesh.clock import SYSTEM, Clock
from inferloom.mesh.errors import InvalidInput
from inferloom.mesh.follower import Follower
from inferloom.mesh.policy import KIND, TrafficPolicy
from inferloom.mesh.policy_fields import Value, nested, read_fields
from inferloom.mesh.registry.base import Document, DocumentKey, Documents
from inferloom.mesh.telemetry.metrics_series import Durations

__all__ = ["Policies", "Written", "settled"]

log = structlog.get_logger(__name__)


Changed = Callable[[frozenset[str]], None]


class Written(NamedTuple):
    """The last good document of a name."""

    values: Mapping[str, Value]  # by path: what it says in so many words
    version: int  # of the document


class _Merged(NamedTuple):
    written: Written
    base: TrafficPolicy
    never: bool
    policy: TrafficPolicy


class Policies:
    """Follows the documents of kind "policy". A bad one changes nothing: the last good one stays, and the problem is told.

    Args:
        base: the policy of a model that has no document.

    Attributes:
        written: the documents in force, by name.
        problems: why the newest document of a name is not in force.
        lag: seconds from the writing of documents until they were in force here; not of those that were there at start.
    """

    def __init__(self, base: Callable[[Model], TrafficPolicy] = TrafficPolicy.of, *, clock: Clock = SYSTEM) -> None:
        self.written: dict[str, Written] = {}
        self.problems: dict[str, str] = {}
        self.lag = Durations()
        self._base = base
        self._clock = clock
        self._merged: dict[str, _Merged] = {}
        self._seen: dict[str, Document] = {}
        self._changed: list[Changed] = []
        self._follower = Follower(KIND, self.apply, clock, "what the replicas say of themselves holds")

    def __repr__(self) -> str:
        return f"<Policies {', '.join(sorted(self.written)) or 'none'}>"

    def of(self, model: Model) -> TrafficPolicy:
        """A model's policy: the same object for as long as its document, and what its replicas say of repeats, stay.

        What its replicas say must never be repeated is not, unless the document says `idempotent: true`.
        """
        base = self._base(model)
        written = self.written.get(model.name)
        if written is None:
            return base
        never = model.repeat is Repeat.NEVER
        known = self._merged.get(model.name)
        if known is not None and known[:3] == (written, base, never):
            return known.policy
        policy = _over(base, written.values, never)
        self._merged[model.name] = _Merged(written, base, never, policy)
        return policy

    def on_change(self, changed: Changed) -> None:
        """Have `changed` called with the names whose documents came, changed or went, each time."""
        self._changed.append(changed)

    async def start(self, documents: Documents) -> None:
        """Follow the documents. Returns when the first have been applied, or do not come."""
        await self._follower.start(documents)

    async def close(self) -> None:
        await self._follower.close()

    def apply(self, documents: Mapping[DocumentKey, Document]) -> None:
        """Have these in force."""
        present = {name: document for (kind, name), document in documents.items() if kind == KIND}
        changed: set[str] = set()
        for name in self._seen.keys() - present.keys():
            self.problems.pop(name, None)
            self._merged.pop(name, None)
            if self.written.pop(name, None) is not None:
                changed.add(name)
        for name, document in present.items():
            if self._seen.get(name) is document or document.spec is None:
                continue
            try:
                values = _checked(name, document.spec)
            except InvalidInput as error:
                self.problems[name] = f"version {document.version}: {error}"
                kept = self.written.get(name)
                log.error("policy refused", policy=name, version=document.version, error=str(error), kept=kept)
                continue
            self.problems.pop(name, None)
            if self._follower.began:
                self.lag.add(max(0.0, self._clock.wall() - document.time))
            self.written[name] = Written(values, document.version)
            changed.add(name)
        self._seen = present
        if changed:
            for call in self._changed:
                call(frozenset(changed))


def settled(name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """A spec as people write it, checked: what is to be stored, and no more than it says. InvalidInput: it is none."""
    return nested(_checked(name, spec))


def _checked(name: str, spec: Mapping[str, Any]) -> dict[str, Value]:
    TrafficPolicy.from_json(name, spec)
    return read_fields(spec, f"policy '{name}'")


def _over(base: TrafficPolicy, values: Mapping[str, Value], never: bool) -> TrafficPolicy:
    if never and values.get("idempotent") is not True:
        values = {path: value for path, value in values.items() if path != "retry.attempts"}
    elif never:
        values = {"retry.attempts": TrafficPolicy().retry.attempts, **values}
    return base.over(values)
