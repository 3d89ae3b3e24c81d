"""Where a replica is, compared with where this process is."""

from __future__ import annotations

__all__ = ["in_zone"]


def in_zone(locality: str, zone: str) -> bool:
    """Whether a replica's locality, "region/zone" or "zone", is this zone, written either way. Nothing is in zone ""."""
    if not zone or not locality:
        return False
    if "/" in zone and "/" in locality:
        return locality == zone
    return locality.rpartition("/")[2] == zone.rpartition("/")[2]
