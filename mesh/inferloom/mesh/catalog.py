"""What there is in the mesh: an immutable snapshot.

Control loops build a new `Catalog` and swap the reference; the request path only reads. A model that has not changed is
the same object in the next snapshot, so whoever keeps something per model finds what changed by comparing references.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

MANY = 200  # names that an unknown one is compared with

__all__ = ["EMPTY", "Catalog", "Kind", "Model", "Repeat", "Replica", "State"]


class State(StrEnum):
    """What a replica says of itself. Only `serving` takes new requests."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"


class Kind(StrEnum):
    """What stands behind a name. All answer like a model."""

    MODEL = "model"  # in a Triton
    SERVICE = "service"  # users' Python, in a host
    PIPELINE = "pipeline"  # a graph, in a composer


class Repeat(StrEnum):
    """When a request may be sent once more."""

    ANY = "any"  # idempotent: also when it may have begun
    UNBEGUN = "unbegun"  # only when it is certain that no replica saw it
    NEVER = "never"  # it changes something outside: never retried, hedged or mirrored


@dataclass(frozen=True, slots=True)
class Replica:
    """One running copy of a model: one model in one Triton.

    A Triton that holds three models is three replicas with the same `id`, one under each model.
    """

    model: str
    id: str  # unique within the model; the same for all models of one Triton
    host: str
    port: int  # gRPC (Open Inference Protocol)
    state: State = State.SERVING
    versions: tuple[str, ...] = ()  # ready versions, oldest first; the first answers where a request names none
    http_port: int = 0  # REST port of the same server (Open Inference Protocol), 0: none
    weight: float = 1.0  # share of the traffic relative to its peers, > 0
    locality: str = ""  # "region/zone"
    generation: int = 0  # grows with each start of the process behind it
    healthy: bool = True  # the registry's verdict (Consul's check); the replica's own word is `state`
    check: str = ""  # "host:port" of a grpc.health.v1 service that answers for it, "": none
    problem: str = ""  # why it, or one of its versions, is not serving; for people
    kind: Kind = Kind.MODEL
    repeat: Repeat = Repeat.ANY
    pings: bool = False  # its gRPC server takes a ping every 5 s; one of default settings would hang up
    app_port: int = 0  # HTTP port of the service's own application (ASGI), 0: none

    @property
    def address(self) -> str:
        """host:port of its gRPC server; IPv6 in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def default_version(self) -> str:
        """The version that answers where a request names none: the oldest, so that adding one moves no traffic."""
        return self.versions[0] if self.versions else ""

    @property
    def usable(self) -> bool:
        """Whether new requests may go to it, as far as the registry knows."""
        return self.state is State.SERVING and self.healthy

    def serves(self, version: str) -> bool:
        return not version or version in self.versions


@dataclass(frozen=True, slots=True)
class Model:
    """A model's replicas, ordered by id."""

    name: str
    replicas: tuple[Replica, ...]

    @property
    def versions(self) -> tuple[str, ...]:
        """Every version that some replica serves, oldest first."""
        return tuple(sorted({v for r in self.replicas for v in r.versions}, key=version_key))

    @property
    def default_version(self) -> str:
        """The version that answers where a request names none: the oldest that is not on its way out.

        Not that of whoever happens to be usable: a new version takes no traffic because the old one has just crashed.
        """
        staying = {v for r in self.replicas if r.state is not State.DRAINING for v in r.versions}
        return min(staying, key=version_key, default="")

    @property
    def kind(self) -> Kind:
        return self.replicas[0].kind if self.replicas else Kind.MODEL

    @property
    def repeat(self) -> Repeat:
        """The most careful of its replicas' words."""
        said = {replica.repeat for replica in self.replicas}
        return next((careful for careful in (Repeat.NEVER, Repeat.UNBEGUN) if careful in said), Repeat.ANY)

    @property
    def ready(self) -> bool:
        return any(replica.usable for replica in self.replicas)


@dataclass(frozen=True, slots=True)
class Catalog:
    """All models by name.

    `index` grows with every change as its source counts them; `fresh` is False while the source cannot be reached and
    this is the last good snapshot.
    """

    models: Mapping[str, Model] = field(default_factory=lambda: MappingProxyType({}))
    index: int = 0
    fresh: bool = True

    def near(self, name: str, limit: int = 3) -> list[str]:
        """Names that look like `name`, best first: for error messages."""
        wanted = name.lower()
        folded = {known.lower(): known for known in self.models}
        if len(folded) > MANY:  # comparing with thousands would take the event loop's time
            folded = {low: known for low, known in folded.items() if low[:2] == wanted[:2]}
            folded = dict(list(folded.items())[:MANY])
        return [folded[match] for match in difflib.get_close_matches(wanted[:128], folded, limit, 0.5)]

    @staticmethod
    def build(replicas: Iterable[Replica], previous: Catalog | None = None, *, fresh: bool = True) -> Catalog:
        """A catalog of these replicas that shares every unchanged `Model` with `previous`.

        Where nothing changed at all, `previous` itself is returned.
        """
        before = previous.models if previous is not None else {}
        grouped: dict[str, dict[str, Replica]] = {}
        for replica in replicas:
            grouped.setdefault(replica.model, {})[replica.id] = replica
        models: dict[str, Model] = {}
        for name in sorted(grouped):
            members = tuple(grouped[name][key] for key in sorted(grouped[name]))
            known = before.get(name)
            models[name] = known if known is not None and known.replicas == members else Model(name, members)
        unchanged = (
            previous is not None and len(models) == len(before) and all(models[n] is before.get(n) for n in models)
        )
        if previous is not None and unchanged and previous.fresh == fresh:
            return previous
        return Catalog(MappingProxyType(models), (previous.index + 1) if previous is not None else 1, fresh)

    def replicas(self) -> Iterable[Replica]:
        for model in self.models.values():
            yield from model.replicas


def version_key(version: str) -> tuple[int, str]:
    """Order of versions: Triton's are positive integers, compared as numbers."""
    return (int(version), "") if version.isdecimal() else (0, version)


EMPTY = Catalog()
