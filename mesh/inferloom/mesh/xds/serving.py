"""Which replicas of a model may be asked for what: the view that clusters, routes and splits share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from inferloom.mesh.catalog import Model, Replica

__all__ = ["Serving"]


@dataclass(frozen=True, slots=True)
class Serving:
    """A model's usable replicas, and the versions they hold.

    Attributes:
        replicas: usable ones.
        default: the version to write into requests that name none; "": every replica gives the right one by itself.
        own: versions that some replicas serve and others do not: each needs a cluster of its own.
        versions: all that are served.
    """

    replicas: tuple[Replica, ...]
    default: str
    own: frozenset[str]
    versions: frozenset[str]

    @staticmethod
    def of(model: Model) -> Serving | None:
        """None where the edge cannot send requests to it by itself: no replica is usable, or none of those that are holds
        the version that is the default one (ADR 2). The router explains, and serves what can be served."""
        replicas = tuple(replica for replica in model.replicas if replica.usable)
        if not replicas:
            return None
        versions = frozenset(version for replica in replicas for version in replica.versions)
        default = model.default_version
        if versions and default not in versions:
            return None
        own = frozenset(version for version in versions if not all(may_serve(r, version) for r in replicas))
        return Serving(replicas, "" if versions <= {default} else default, own, versions)

    def with_version(self, version: str) -> Sequence[Replica]:
        return [replica for replica in self.replicas if may_serve(replica, version)]

    def serves(self, version: str) -> bool:
        """Whether a request that names this version may be sent; "": one that names none."""
        return not version or any(may_serve(replica, version) for replica in self.replicas)


def may_serve(replica: Replica, version: str) -> bool:
    """One whose versions are not known is asked, and answers itself."""
    return not replica.versions or replica.serves(version)
