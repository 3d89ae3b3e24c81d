"""Traces as text: who asked whom, how long it took and how it ended.

inferloom-router  inference.GRPCInferenceService/ModelInfer  server  4.1 ms  model=digits
  inferloom-router  inference.GRPCInferenceService/ModelInfer  client  3.6 ms  model=digits replica=one attempt=1
    triton  InferRequest  server  3.1 ms
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["SHOWN", "SpanRecord", "outline", "tree"]

KINDS = ("unset", "internal", "server", "client", "producer", "consumer")
ERROR = 2  # OTLP's status codes: 0 unset, 1 ok, 2 error
OURS = "inferloom."
SHOWN = (
    "model", "version", "replica", "attempt", "arm", "mirror", "batch_size", "rows", "members", "answered", "late",
    "failed", "skipped", "fallback", "cancelled",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SpanRecord:
    """One span as a receiver of traces has it; ids in hex, "" for no parent, times in nanoseconds since 1970."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    kind: int
    status: int = 0
    attributes: Mapping[str, Any] = field(default_factory=dict)
    links: tuple[tuple[str, str], ...] = ()  # trace and span
    message: str = ""
    began: int = 0
    ended: int = 0


def tree(spans: Iterable[SpanRecord], shown: Sequence[str] = SHOWN) -> str:
    """One line a span, in the order in which they began, each below the one it belongs to.

    Args:
        shown: which of our attributes, without "inferloom.".
    """
    return "\n".join(f"{'  ' * depth}{_line(span, shown, timed=True)}" for depth, span in _walk(spans, _by_time))


def outline(spans: Iterable[SpanRecord], shown: Sequence[str] = SHOWN) -> str:
    """The same without times, siblings by their text: equal for two requests that went the same way."""
    kept = list(spans)
    below = _below(kept)

    def text(span: SpanRecord, depth: int) -> str:
        line = f"{'  ' * depth}{_line(span, shown, timed=False)}"
        return "\n".join([line, *sorted(text(each, depth + 1) for each in below.get(span.id, ()))])

    return "\n".join(sorted(text(span, 0) for span in _roots(kept)))


def _walk(spans: Iterable[SpanRecord], order: Any) -> Iterator[tuple[int, SpanRecord]]:
    kept = list(spans)
    below = _below(kept)

    def visit(span: SpanRecord, depth: int) -> Iterator[tuple[int, SpanRecord]]:
        yield depth, span
        for each in sorted(below.get(span.id, ()), key=order):
            yield from visit(each, depth + 1)

    for root in sorted(_roots(kept), key=order):
        yield from visit(root, 0)


def _below(spans: Sequence[SpanRecord]) -> dict[str, list[SpanRecord]]:
    found: dict[str, list[SpanRecord]] = {}
    for span in spans:
        found.setdefault(span.parent, []).append(span)
    return found


def _roots(spans: Sequence[SpanRecord]) -> list[SpanRecord]:
    """Those whose parent is not here: none, or the caller's."""
    known = {span.id for span in spans}
    return [span for span in spans if span.parent not in known]


def _by_time(span: SpanRecord) -> tuple[int, str]:
    return span.began, span.id


def _line(span: SpanRecord, shown: Sequence[str], *, timed: bool) -> str:
    parts = [span.service, span.name, KINDS[span.kind]]
    if timed:
        parts.append(f"{(span.ended - span.began) / 1e6:.1f} ms")
    ours = [f"{key}={_text(span.attributes[OURS + key])}" for key in shown if OURS + key in span.attributes]
    if ours:
        parts.append(" ".join(ours))
    if span.status == ERROR:
        parts.append(f"ERROR {span.attributes.get('error.type', '')}".rstrip())
    elif "error.type" in span.attributes:
        parts.append(str(span.attributes["error.type"]))
    return "  ".join(parts)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
