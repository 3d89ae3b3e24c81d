"""What Consul last said of the replicas, and what is kept of what it no longer says. Pure: no I/O, no waiting.

A record that is gone from an answer that continues the one before was taken out: its replica deregistered, or its
session ended. A record that is gone after a failure, or after the index went backwards, may only have been forgotten
(an agent in development mode forgets everything when it restarts): its replica is kept for a while, since it will say
again that it is there. Not kept is one that was draining, or whose check had failed.

A verdict stays until Consul states another. No check is no verdict: after a restart the checks are gone as well.
"""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from inferloom.mesh.catalog import Replica, State
from inferloom.mesh.clock import Clock
from inferloom.mesh.registry.consul.keys import Keys
from inferloom.mesh.registry.consul.parse import Entry, Status
from inferloom.mesh.registry.record import RecordError, decode

__all__ = ["KEEP", "View"]

KEEP = 60.0  # seconds for which a replica that vanished is kept

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Known:
    value: str  # as it was read
    replica: Replica
    instance: str


class View:
    """The replicas as far as is known. Feed it with `records` and `verdicts`, read `replicas`."""

    def __init__(self, keys: Keys, clock: Clock, keep: float = KEEP) -> None:
        self._keys = keys
        self._clock = clock
        self._keep = keep
        self._known: dict[str, Known] = {}  # by key
        self._vanished: dict[str, float] = {}  # by key: until when
        self._refused: dict[str, str] = {}  # by key: the value that was not understood
        self._verdicts: dict[str, bool] = {}  # by instance, as Consul last stated them

    def seed(self, replicas: Iterable[Replica]) -> None:
        """Start from replicas that were known earlier, as if Consul had just stated them."""
        for replica in replicas:
            key = self._keys.record(replica.model, replica.id)
            instance = self._keys.instance(replica.model, replica.id)
            self._known[key] = Known("", replica, instance)
            self._verdicts[instance] = replica.healthy

    def records(self, entries: Sequence[Entry], *, continuous: bool) -> None:
        """All records, as Consul states them now."""
        listed = {entry.key: entry for entry in entries}
        for key in [key for key in self._known if key not in listed and key not in self._vanished]:
            known = self._known[key]
            kept = not continuous and known.replica.state is not State.DRAINING and self._healthy(known)
            if kept:
                self._vanished[key] = self._clock.now() + self._keep
            else:
                self._drop(key)
        for key in listed:
            self._vanished.pop(key, None)
        self._refused = {key: value for key, value in self._refused.items() if key in listed}
        for entry in entries:
            # Not by ModifyIndex: after a restart a key may have its old index and another value, or the other way round.
            read = self._known.get(entry.key)
            if read is None or read.value != entry.value:
                self._take(entry)

    def verdicts(self, statuses: Iterable[Status]) -> None:
        """All checks, as Consul states them now; an instance is as well as its worst check."""
        stated: dict[str, bool] = {}
        for instance, passing in statuses:
            stated[instance] = stated.get(instance, True) and passing
        instances = {known.instance for known in self._known.values()}
        kept = {instance: verdict for instance, verdict in self._verdicts.items() if instance in instances}
        self._verdicts = kept | stated

    def replicas(self) -> list[Replica]:
        """Those to show now. Unchanged ones are equal from call to call."""
        now = self._clock.now()
        for key in [key for key, until in self._vanished.items() if until <= now]:
            self._drop(key)
        return [
            known.replica if known.replica.healthy is (healthy := self._healthy(known)) else _judged(known, healthy)
            for known in self._known.values()
        ]

    @property
    def expires(self) -> float | None:
        """When (on the clock) the next vanished replica is dropped; None where none is kept."""
        return min(self._vanished.values(), default=None)

    def _healthy(self, known: Known) -> bool:
        return self._verdicts.get(known.instance, True)

    def _drop(self, key: str) -> None:
        known = self._known.pop(key)
        self._vanished.pop(key, None)
        self._verdicts.pop(known.instance, None)

    def _take(self, entry: Entry) -> None:
        place = self._keys.of_record(entry.key)
        if place is None or self._refused.get(entry.key) == entry.value:
            return
        try:
            replica = decode(base64.b64decode(entry.value))
            if (replica.model, replica.id) != place:
                raise RecordError(f"it is the record of {replica.model}/{replica.id}")
        except (RecordError, binascii.Error) as error:
            self._refused[entry.key] = entry.value
            kept = "its last understood version is kept" if entry.key in self._known else "it is ignored"
            log.warning("record %s is not understood (%s): %s", entry.key, error, kept)
            return
        self._refused.pop(entry.key, None)
        self._known[entry.key] = Known(entry.value, replica, self._keys.instance(*place))


def _judged(known: Known, healthy: bool) -> Replica:
    return replace(known.replica, healthy=healthy)
