"""Envoy's response flags in words.

https://www.envoyproxy.io/docs/envoy/latest/configuration/observability/access_log/usage has the list.
"""

from __future__ import annotations

from collections.abc import Iterable

from inferloom.mesh.explain.story import LEFT

__all__ = ["GONE", "UNSEEN", "in_words"]

GONE = frozenset({"DC", "DR"})  # the caller has closed its connection, or its stream
UNSEEN = ("UF", "UH", "UO", "NC", "NR")  # nobody behind Envoy has seen the request
WORDS = {
    "UH": "no healthy replica",
    "UF": "no connection to the replica",
    "UO": "more requests in flight than the policy's concurrency allows",
    "UT": "time-out of the try",
    "UR": "the replica reset the request",
    "UC": "the replica closed the connection",
    "UPE": "the replica's answer breaks the protocol",
    "LR": "Envoy reset the request",
    "URX": "no try was left",
    "SI": "the stream was silent for too long",
    "DT": "the policy's timeout passed",
    "UMSDR": "the deadline passed",
    "DC": LEFT,
    "DR": LEFT,
    "DPE": "the caller's request breaks the protocol",
    "NC": "the edge does not know the model's replicas",
    "NR": "the edge has no route for it",
    "OM": "the edge is short of memory or connections",
    "DF": "the replica's name cannot be resolved",
}


def in_words(flags: Iterable[str]) -> str:
    """Those that are known, the others as they are."""
    return "; ".join(dict.fromkeys(WORDS.get(flag, flag) for flag in flags))
