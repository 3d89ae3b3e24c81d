"""Bounds of an edge that faces callers nobody knows, after Envoy's guide for edge proxies.

These are the listener's; memory and connections of the whole process are bounded in the bootstrap (bootstrap.py).
"""

from __future__ import annotations

__all__ = [
    "CONNECTION_BUFFER",
    "CONNECTION_IDLE",
    "CONNECTION_WINDOW",
    "HEADERS_TIMEOUT",
    "MAX_HEADERS",
    "MAX_HEADERS_KIB",
    "MAX_STREAMS",
    "STREAM_WINDOW",
]

MIB = 1 << 20
CONNECTION_BUFFER = MIB  # bytes; with 32 KiB, the guide's, a 10 MiB tensor takes 10 ms longer
STREAM_WINDOW = MIB
CONNECTION_WINDOW = 16 * MIB
# A gRPC client sends everything over one connection: the guide's 100 would hold back a busy one. What a connection can make
# the edge hold is bounded by its window until a body is read for its name, and by the overload manager after that.
MAX_STREAMS = 1000
HEADERS_TIMEOUT = 10.0  # seconds for a request's headers to arrive
CONNECTION_IDLE = 3600.0  # seconds a connection without streams is kept
MAX_HEADERS = 200
MAX_HEADERS_KIB = 96  # metadata as the router's server takes it, and then some
