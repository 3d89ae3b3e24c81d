"""Replicas as endpoints: who may be asked, in which order of zones, with which weight."""

from __future__ import annotations

from collections.abc import Sequence

from envoy_data_plane.envoy.config.core.v3 import Locality as ZoneName
from envoy_data_plane.envoy.config.endpoint.v3 import (
    ClusterLoadAssignment,
    ClusterLoadAssignmentPolicy,
    Endpoint,
    LbEndpoint,
    LocalityLbEndpoints,
)

from inferloom.mesh.balance.locality import in_zone
from inferloom.mesh.catalog import Replica
from inferloom.mesh.policy import Locality
from inferloom.mesh.xds.messages import socket

__all__ = ["assignment"]

HEAVIEST = 1000  # integer weight of the replica with the largest one
ALL = 100  # percent


def assignment(
    cluster: str, replicas: Sequence[Replica], *, rest: bool = False, locality: Locality = Locality.ANY, zone: str = ""
) -> ClusterLoadAssignment:
    """The endpoints of a cluster.

    With `Locality.PREFER` those of the edge's own zone come first, and the others only when none of them may be used.

    Args:
        replicas: usable ones.
        rest: their REST ports instead of gRPC.
        zone: the edge's, as `EdgeSettings.zone`.
    """
    near = [replica for replica in replicas if in_zone(replica.locality, zone)]
    if locality is not Locality.PREFER or not near:
        return ClusterLoadAssignment(cluster_name=cluster, endpoints=_groups(replicas, rest, 0))
    far = [replica for replica in replicas if replica not in near]
    # Envoy begins to use the next priority where less than 1 / 1.4 of this one is healthy; here one replica is enough.
    rules = ClusterLoadAssignmentPolicy(overprovisioning_factor=ALL * len(near))
    groups = _groups(near, rest, 0) + _groups(far, rest, 1)
    return ClusterLoadAssignment(cluster_name=cluster, endpoints=groups, policy=rules)


def _groups(replicas: Sequence[Replica], rest: bool, priority: int) -> list[LocalityLbEndpoints]:
    """One group for each locality, as the protocol wants them."""
    heaviest = max((replica.weight for replica in replicas), default=1.0)
    equal = all(replica.weight == heaviest for replica in replicas)  # then Envoy need not schedule by weight
    grouped: dict[str, list[LbEndpoint]] = {}
    for replica in replicas:
        address = socket(replica.host, replica.http_port if rest else replica.port)
        weight = None if equal else max(1, round(HEAVIEST * replica.weight / heaviest))
        endpoint = LbEndpoint(endpoint=Endpoint(address=address), load_balancing_weight=weight)
        grouped.setdefault(replica.locality, []).append(endpoint)
    return [
        LocalityLbEndpoints(locality=_locality(name), lb_endpoints=members, priority=priority)
        for name, members in sorted(grouped.items())
    ]


def _locality(text: str) -> ZoneName:
    region, _, zone = text.rpartition("/")
    return ZoneName(region=region, zone=zone)
