"""What a client shall have, in units that can be taken or refused one by one.

A unit of clusters, endpoints and listeners is a resource. Of routes it is a virtual host, since all models share one
RouteConfiguration: "edge/iris" is the host of iris, and "edge" everything in it but its hosts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from inferloom.mesh.xds.discovery import CDS, EDS, LDS, RDS
from inferloom.mesh.xds.route_hosts import catches_all, join, split

__all__ = ["Compiled", "Target", "Units", "assemble", "digest", "model_of", "owner"]

Units = Mapping[str, bytes]


class Compiled(Protocol):
    """Serialised messages by name, as a compiler gives them."""

    @property
    def clusters(self) -> Mapping[str, bytes]: ...
    @property
    def endpoints(self) -> Mapping[str, bytes]: ...
    @property
    def listeners(self) -> Mapping[str, bytes]: ...
    @property
    def routes(self) -> Mapping[str, bytes]: ...


@dataclass(frozen=True, slots=True)
class Target:
    """One snapshot. `essential` units of routes go first: without them a RouteConfiguration serves nobody."""

    units: Mapping[str, Units]  # by type
    clusters_of: Mapping[str, frozenset[str]]  # model -> its clusters
    essential: frozenset[str]

    @staticmethod
    def of(compiled: Compiled) -> Target:
        routes: dict[str, bytes] = {}
        others: dict[str, bytes] = {}
        for name, data in compiled.routes.items():
            routes[name], hosts = split(data)
            for host, body in hosts.items():
                (routes if catches_all(body) else others)[f"{name}/{host}"] = body
        clusters: dict[str, set[str]] = {}
        for name in compiled.clusters:
            if model := model_of(name):
                clusters.setdefault(model, set()).add(name)
        units = {CDS: compiled.clusters, EDS: compiled.endpoints, LDS: compiled.listeners, RDS: {**routes, **others}}
        return Target(units, {model: frozenset(names) for model, names in clusters.items()}, frozenset(routes))


def owner(unit: str) -> str:
    """The resource that a unit of routes is part of: what a client asks for."""
    return unit.partition("/")[0]


def model_of(unit: str) -> str:
    """The model that a cluster ("model/iris@2") or a unit of routes ("edge/iris") is of; "" where it is of none."""
    return unit.partition("/")[2].partition("@")[0]


def assemble(units: Units) -> dict[str, bytes]:
    """RouteConfigurations by name, of their units."""
    hosts: dict[str, dict[str, bytes]] = {unit: {} for unit in units if "/" not in unit}
    for unit, data in units.items():
        config, _, host = unit.partition("/")
        if host and config in hosts:
            hosts[config][host] = data
    return {config: join(units[config], found) for config, found in hosts.items()}


def digest(units: Units) -> str:
    """A version that only the contents make, so every control plane gives the same."""
    found = hashlib.sha256()
    for name in sorted(units):
        found.update(f"{name}\0{len(units[name])}\0".encode())
        found.update(units[name])
    return found.hexdigest()[:16]
