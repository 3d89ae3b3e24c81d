"""Who was asked for an edge's request, and where its time went, from the entry of Envoy's access log.

Envoy does not keep how a try ended after which it made another one. So a try that was followed by another has no code.
"""

from __future__ import annotations

from typing import Any

from inferloom.mesh.catalog import Model, Replica
from inferloom.mesh.explain.explainer import LONGEST
from inferloom.mesh.explain.recent import Told
from inferloom.mesh.xds.response_flags import UNSEEN, in_words

__all__ = ["FLAGS", "TRIED", "Tried", "course", "tag"]

FLAGS, TRIED = "flags", "tried"  # custom tags of an entry: response flags, and who was asked, host:port; by commas
AGAIN = "Envoy tried again, and keeps no more of it"
UNSENT = frozenset(UNSEEN) - {"UF"}  # the last try had no replica to go to
MOST = 16  # tries that are told


class Tried:
    """Who was asked. Envoy tells each server once, however often it was asked, and none to which there was no connection.

    Args:
        version: that was asked for; "": none.

    Attributes:
        addresses: the last is that of the last try.
    """

    def __init__(self, common: Any, model: Model | None, version: str) -> None:
        last = f"{common.replica.socket.address}:{common.replica.socket.port}" if common.replica.socket.port else ""
        named = [at for at in tag(common, TRIED).split(",") if ":" in at and at != last]
        self.addresses = [*named, last] if last else named
        self._model = model
        self._version = version
        self._replicas = {at: each for each in (model.replicas if model else ()) for at in _addresses(each)}

    def name(self, address: str) -> str:
        replica = self._replicas.get(address)
        return replica.id if replica else address

    def version(self, address: str) -> str:
        replica = self._replicas.get(address)
        return self._version or (replica.default_version if replica else "")

    def attempt(self, number: int, made: int) -> dict[str, Any]:
        """One of so many. Where servers were asked more than once, it is not known which of them an earlier one asked."""
        each = {"model": self._model.name if self._model else ""}
        if number == made - 1:
            at = [self.addresses[-1]]
        else:
            at = [self.addresses[number]] if len(self.addresses) == made else self.addresses
        each["replica"] = " or ".join(self.name(address) for address in at)
        return each | ({"address": at[0]} if len(at) == 1 else {})


def course(common: Any, code: str, flags: set[str], tried: Tried) -> Told:
    """Tries, and where the time went."""
    made = common.attempts - bool(flags & UNSENT)  # of the last one nobody was asked
    if made < 1 or not tried.addresses:
        return {}
    last = tried.addresses[-1]
    told: Told = {"replica": tried.name(last), "version": tried.version(last)}
    told["attempts"] = [tried.attempt(number, made) | {"why": AGAIN} for number in range(min(made, MOST))]
    if flags & UNSENT:
        return told
    sent, first, whole = _ms(common.sent), _ms(common.first_byte), _ms(common.duration)
    ended = _ms(common.last_byte) or whole
    final: dict[str, Any] = {"code": code}
    if sent:
        final |= {"after_ms": sent, "ms": round(ended - sent, 3)}
    if why := "; ".join(filter(None, (in_words(sorted(flags)), common.transport_failure))) if code != "OK" else "":
        final["why"] = why[:LONGEST]
    told["attempts"][-1] = tried.attempt(made - 1, made) | final
    if sent:
        parts = {"before": sent, "replica": (first or ended) - sent, "after": whole - (first or ended)}
        told["layers"] = {name: round(max(0.0, each), 3) for name, each in parts.items()}
    return told


def tag(common: Any, name: str) -> str:
    """A custom tag of an entry; "": it has none."""
    return next((each.value for each in common.tags if each.key == name), "")


def _addresses(replica: Replica) -> tuple[str, ...]:
    ports = (replica.port, replica.http_port) if replica.http_port else (replica.port,)
    return tuple(f"{replica.host}:{port}" for port in ports)


def _ms(duration: Any) -> float:
    nanoseconds: int = duration.ToNanoseconds()
    return round(nanoseconds / 1e6, 3)
