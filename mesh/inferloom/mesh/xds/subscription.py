"""One type of resources on one stream: what the client asks for, what it holds, what it has refused and why.

What is refused is found by halving. A push that is refused is taken apart: half of what was new in it is tried, then the
other half, each together with what has been taken before, down to the single unit, which is then in quarantine until its
bytes change. (Envoy names the clusters and listeners it does not like, mostly; then these are believed.)
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from inferloom.mesh.xds.discovery import CDS, EDS, LDS, RDS, Ask
from inferloom.mesh.xds.target import Units, digest, owner

__all__ = ["Refusal", "Subscription"]

UNCERTAIN = b""  # one of several; no unit is empty


@dataclass(frozen=True, slots=True)
class Refusal:
    """A unit that the client does not take."""

    data: bytes  # as it was refused
    why: str  # the client's text


class Subscription:
    """Pure state; `Session` says when it may speak."""

    def __init__(self, kind: str, first: Ask) -> None:
        self.kind = kind
        self.wildcard = kind in (CDS, LDS) and (not first.names or "*" in first.names)
        self.asked = frozenset(first.names)
        self.claimed = first.version  # what the client says it holds from an earlier stream
        self.answered = False
        self.known = False  # what it holds: something was taken on this stream, or it says so itself
        self.have: dict[str, bytes] = {}  # taken
        self.sent: dict[str, bytes] = {}  # not yet taken or refused
        self._overtaken: dict[str, bytes] = {}  # sent before that, and no verdict came: it may hold these
        self.refused: dict[str, Refusal] = {}
        self.again: set[str] = set()  # to be sent even if they are as before
        self.nonce = ""
        self.waiting = False
        self.late = False  # the client has let the time for its verdict go by
        self.since = 0.0
        self.version = ""  # of what was taken last
        self.offered = ""  # of what was sent last
        self.acks = self.nacks = self.pushes = 0
        self.last_nack = ""
        self._group: Sequence[str] = ()
        self._groups: deque[Sequence[str]] = deque()

    def wants(self, unit: str) -> bool:
        """Whether the client has asked for it."""
        return self.wildcard or (owner(unit) if self.kind == RDS else unit) in self.asked

    def ask(self, names: Sequence[str]) -> frozenset[str]:
        """Take the names of a further request. Returns those that are new; what is no longer asked for is forgotten."""
        now = frozenset(names)
        if self.wildcard and (not now or "*" in now):
            return frozenset()
        new, self.asked, self.wildcard = now - self.asked, now, False
        self.have = {unit: data for unit, data in self.have.items() if self.wants(unit)}
        return new

    @property
    def halved(self) -> bool:
        """Whether a part of what was refused together is still to be tried."""
        return bool(self._groups)

    def forget_groups(self) -> None:
        self._groups.clear()

    def acceptable(self, units: Units) -> dict[str, bytes]:
        """The units asked for, with the last good bytes where the newest were refused, or without them."""
        found = {}
        for unit, data in units.items():
            if not self.wants(unit):
                continue
            refusal = self.refused.get(unit)
            if refusal is None or refusal.data != data:
                found[unit] = data
            elif unit in self.have:
                found[unit] = self.have[unit]
        return found

    def forgive(self, units: Units) -> None:
        """Forget the refusals of what is gone or has changed."""
        self.refused = {unit: old for unit, old in self.refused.items() if units.get(unit) == old.data}

    def next(self, want: Units, essential: Iterable[str] = ()) -> dict[str, bytes] | None:
        """What to send, so that the client comes to hold `want`; None where it does, or is being told already.

        Of endpoints only what has changed is sent, of everything else all.
        """
        if not self.answered and self.claimed and self.kind != EDS and digest(want) == self.claimed:
            self.have, self.version, self.offered = dict(want), self.claimed, self.claimed
            self.answered = self.known = True
        changed = [unit for unit in want if self._differs(unit, want)]
        held = {*self.have, *self._perhaps(), *self._overtaken}
        gone = self.kind != EDS and any(unit not in want for unit in held)
        if not changed and not gone and (self.known or self.kind in (EDS, RDS)):
            return None
        group: Sequence[str] = changed
        while self._groups:
            if group := [unit for unit in self._groups.popleft() if unit in want and self._differs(unit, want)]:
                break
        else:
            group = changed
        if self.kind == EDS:
            trial = {unit: want[unit] for unit in group}
        else:
            tried = {*group, *(unit for unit in essential if unit not in self.have)}
            trial = {
                unit: want[unit] if unit in tried else self.have[unit]
                for unit in want
                if unit in tried or unit in self.have
            }
        if self.waiting and trial == self.sent:
            return None  # it is late with its verdict on just this
        self._group = group
        return trial

    def _differs(self, unit: str, want: Units) -> bool:
        data = want[unit]
        return (
            unit in self.again
            or self.have.get(unit) != data
            or self._perhaps().get(unit, data) != data
            or self._overtaken.get(unit, data) != data
        )

    def _perhaps(self) -> Units:
        """What the client may hold beyond that: it has been told, and is late with its verdict."""
        return self.sent if self.waiting else {}

    def send(self, trial: dict[str, bytes], nonce: str, now: float) -> str:
        """It is on its way. Returns its version."""
        if self.waiting:
            for unit, data in self.sent.items():
                self._overtaken[unit] = data if self._overtaken.get(unit, data) == data else UNCERTAIN
            if self.kind != EDS:
                self._overtaken.update(dict.fromkeys(self.have.keys() - self.sent.keys(), UNCERTAIN))  # or gone
        self.sent, self.nonce, self.since = trial, nonce, now
        self.waiting, self.late, self.answered = True, False, True
        self.pushes += 1
        self.again -= trial.keys()
        self.offered = digest({**self.have, **trial} if self.kind == EDS else trial)
        return self.offered

    def taken(self) -> list[str]:
        """The last push was acknowledged. Returns what is new in it."""
        new = [unit for unit, data in self.sent.items() if self.have.get(unit) != data]
        if self.kind == EDS:
            self.have = {**self.have, **self.sent}
            self._overtaken = {unit: data for unit, data in self._overtaken.items() if unit not in self.sent}
        else:
            self.have = self.sent
            self._overtaken.clear()
        self.version = self.offered
        self.waiting, self.late, self.known = False, False, True
        self.acks += 1
        return new

    def refuse(self, why: str) -> list[str]:
        """The last push was refused. Returns the units that are certain to be why; none where it is still to be found."""
        self.waiting = self.late = False
        self.nacks += 1
        self.last_nack = why
        group = list(self._group)
        named = [unit for unit in group if _names(why, unit)]
        if not group:  # it does not let go of something: what it was told counts, lest it be told for ever
            self.have, self.known = self.sent, True
            self._overtaken.clear()
        elif len(group) == 1 or (named and self.kind not in (EDS, RDS)):
            guilty = named or group
            if left := [unit for unit in group if unit not in guilty]:
                self._groups.appendleft(left)
            for unit in guilty:
                self._overtaken.pop(unit, None)
                self.again.discard(unit)
                if self.have.get(unit) != self.sent[unit]:  # else it has taken them once, and there is nothing older
                    self.refused[unit] = Refusal(self.sent[unit], why)
            return guilty
        else:
            half = (len(group) + 1) // 2
            self._groups.extendleft((group[half:], group[:half]))
        return []


def _names(text: str, unit: str) -> bool:
    """Whether it is one of "NAME: reason, NAME: reason"."""
    return re.search(rf"(?:^|[\s,(]){re.escape(unit)}: ", text) is not None
