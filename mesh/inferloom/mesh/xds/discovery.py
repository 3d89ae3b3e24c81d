"""What control plane and edge say to each other, without the library that writes it: requests, answers, type names.

The vocabulary is that of the xDS protocol, state of the world: a client asks for names of a type, is answered with
resources, a version and a nonce, and repeats nonce and version (ACK), or the nonce with an error (NACK).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from inferloom.mesh.xds.types import CLUSTER, ENDPOINT, LISTENER, ROUTE

__all__ = ["CDS", "EDS", "LDS", "NAMES", "RDS", "Ask", "Node", "Push"]

CDS, EDS, LDS, RDS = CLUSTER, ENDPOINT, LISTENER, ROUTE
NAMES = {CDS: "clusters", EDS: "endpoints", LDS: "listeners", RDS: "routes"}  # for people


@dataclass(frozen=True, slots=True)
class Node:
    """Who asks. `zone` is "region/zone" or "zone"; `metadata` is JSON-able."""

    id: str = ""
    zone: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ask:
    """A DiscoveryRequest."""

    type: str
    names: tuple[str, ...] = ()  # none: all there are, of clusters and listeners
    version: str = ""  # the last one that was taken; "" on the first stream of a client
    nonce: str = ""  # of the answer this is the verdict on; "" at the beginning of a stream
    error: str = ""  # why the answer was refused; "": it was taken
    node: Node | None = None  # on the first request of a stream


@dataclass(frozen=True, slots=True)
class Push:
    """A DiscoveryResponse."""

    type: str
    version: str
    nonce: str
    resources: Mapping[str, bytes]  # name -> the serialised message
