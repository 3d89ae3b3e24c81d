"""Which replicas a request could not be sent to, or would rather not, and why."""

from __future__ import annotations

from collections.abc import Collection

from inferloom.mesh.balance.locality import in_zone
from inferloom.mesh.policy import Locality
from inferloom.mesh.router.endpoint import may_serve
from inferloom.mesh.router.group import Group

__all__ = ["passed_over"]

MOST = 20  # replicas that are told


def passed_over(
    group: Group, version: str, now: float, zone: str = "", tried: Collection[str] = ()
) -> tuple[tuple[str, str], ...]:
    """Ids of replicas, each with the reason; those in `tried` were asked.

    Args:
        version: that was asked for; "": any.
        zone: of this process.
    """
    found: list[tuple[str, str]] = []
    near = zone if group.policy.locality is Locality.PREFER else ""
    there = near and any(in_zone(e.replica.locality, near) and not e.why_out(now) for e in group.endpoints.values())
    for name, endpoint in sorted(group.endpoints.items()):
        if name in tried:
            continue
        why = endpoint.why_out(now)
        if not why and version and not may_serve(endpoint.replica, version):
            why = f"serves version {', '.join(endpoint.replica.versions)}, not {version}"
        if not why and there and not in_zone(endpoint.replica.locality, near):
            why = f"in zone {endpoint.replica.locality or '(unknown)'}; {near} is nearer"
        if why:
            found.append((name, why))
    return tuple(found[:MOST])
