"""W3C Trace Context: what a caller says of the trace a request belongs to, and what is said onwards.

`tracestate` and `baggage` pass as they came; only `traceparent` names the span above, and so is another one at each hop.
Source: https://www.w3.org/TR/trace-context/ (levels 1 and 2).
"""

from __future__ import annotations

import random
import re
from typing import NamedTuple

from inferloom.mesh.call import Metadata

__all__ = ["ASK", "TRACEPARENT", "Remote", "asked", "low_bits", "new_span", "new_trace", "onwards", "remote_of"]

TRACEPARENT = "traceparent"
ASK = "x-inferloom-trace"  # "1": this request shall be traced whatever the ratio
_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16

_bits = random.Random(random.SystemRandom().getrandbits(128)).getrandbits  # they must differ, not be secret


class Remote(NamedTuple):
    """The span above, in another process."""

    trace: str  # 32 hex digits
    span: str  # 16 hex digits
    sampled: bool


def remote_of(metadata: Metadata) -> Remote | None:
    """The caller's span; None where there is none, or what is there is no traceparent (then a new trace begins)."""
    found: str | bytes | None = None
    for key, value in metadata:
        if key == TRACEPARENT:
            if found is not None:
                return None  # two: the specification says to take none
            found = value
    if not isinstance(found, str):
        return None
    parts = _FORM.fullmatch(found)
    if parts is None:
        return None
    version, trace, span, flags, more = parts.groups()
    if version == "ff" or (version == "00" and more) or trace == _NO_TRACE or span == _NO_SPAN:
        return None
    return Remote(trace, span, bool(int(flags, 16) & 1))


def asked(metadata: Metadata) -> bool:
    """Whether the caller wants this request traced."""
    return (ASK, "1") in metadata


def onwards(metadata: Metadata, traceparent: str) -> Metadata:
    """The metadata with another traceparent; "": with none."""
    for key, _ in metadata:
        if key == TRACEPARENT:
            break
    else:
        return (*metadata, (TRACEPARENT, traceparent)) if traceparent else metadata
    others = [pair for pair in metadata if pair[0] != TRACEPARENT]
    if traceparent:
        others.append((TRACEPARENT, traceparent))
    return tuple(others)


def low_bits() -> int:
    """The lower half of a new trace's id, by which it is sampled."""
    return _bits(64) or 1


def new_trace(low: int) -> str:
    return f"{_bits(64):016x}{low:016x}"


def new_span() -> str:
    return f"{_bits(64) or 1:016x}"
