"""The last requests that failed or were slow, as a table."""

from __future__ import annotations

import time

from rich.markup import escape
from rich.table import Table

from inferloom.v1 import explain_pb2 as pb

__all__ = ["few_words", "table_of_recent"]

WORDS = 90  # characters of the reason
NONE = "no request has failed or was slow so far"


def table_of_recent(answer: pb.ListRecentResponse, *, words: int = WORDS) -> Table:
    """Newest first."""
    table = Table(title="requests that failed or were slow", title_justify="left", header_style="bold")
    for heading in ("time", "request", "model"):
        table.add_column(heading, no_wrap=True)
    table.add_column("code", no_wrap=True)
    table.add_column("ms", justify="right", no_wrap=True)
    table.add_column("why")
    for told in answer.requests:
        at = time.strftime("%H:%M:%S", time.localtime(told.time))
        colour = "green" if told.code == "OK" else "red"
        table.add_row(
            at,
            escape(told.request_id),
            escape(told.model),
            f"[{colour}]{told.code}[/]",
            f"{told.ms:.1f}",
            escape(few_words(told, words)),
        )
    notes = [] if answer.requests else [NONE]
    notes += [f"no answer from {', '.join(answer.unanswered)}"] if answer.unanswered else []
    table.caption = "; ".join(notes) or None
    return table


def few_words(told: pb.Explanation, words: int = WORDS) -> str:
    """What it comes down to, in one line."""
    text = " ".join((told.message or _where(told)).split())
    return text if len(text) <= words else text[: words - 3] + "..."


def _where(told: pb.Explanation) -> str:
    """Where the time of an answer went."""
    late = [step.step for step in _steps(told) if step.code == "CANCELLED"]
    failed = sum(attempt.code != "OK" for attempt in told.attempts)
    parts = [f"late {', '.join(late)}"] if late else []
    parts += [f"{failed} of {len(told.attempts)} attempts failed: {told.attempts[0].why}"] if failed else []
    longest = max(_steps(told), key=lambda step: step.ms, default=None)
    if longest is not None and not late:
        parts.append(f"{longest.step} took {longest.ms:.1f} ms")
    elif not parts and told.attempts:
        last = told.attempts[-1]
        parts.append(f"{last.replica} took {last.ms:.1f} ms")
    return "; ".join(parts)


def _steps(told: pb.Explanation) -> list[pb.StepTold]:
    return [*told.steps, *told.inside.steps]
