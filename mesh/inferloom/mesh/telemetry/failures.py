"""One log line for each failed request, with why: where there are too many, a line a second says how many were left out."""

from __future__ import annotations

from collections.abc import Iterable

import structlog
from grpc import StatusCode

from inferloom.mesh.call import Metadata
from inferloom.mesh.clock import Clock
from inferloom.mesh.errors import InferloomError, Status, status_of

__all__ = ["FAULTS", "FailureLog", "trace_of"]

log = structlog.get_logger(__name__)

# Of the mesh or the model; all other codes but OK are the caller's own doing.
FAULTS = frozenset(
    {
        StatusCode.UNKNOWN,
        StatusCode.DEADLINE_EXCEEDED,
        StatusCode.RESOURCE_EXHAUSTED,
        StatusCode.INTERNAL,
        StatusCode.UNAVAILABLE,
        StatusCode.DATA_LOSS,
    }
)
MOST = 20  # lines a second
TRACEPARENT, REQUEST_ID = "traceparent", "x-request-id"
LONGEST = 500  # characters of a message


class FailureLog:
    """Of one face. Requests that fail because of what the caller sent are told at level info.

    Args:
        most: lines a second.
    """

    def __init__(self, clock: Clock, most: int = MOST) -> None:
        self._clock = clock
        self._most = most
        self._second = 0.0  # when the present one began
        self._lines = 0
        self._left_out = 0

    def told(
        self,
        code: StatusCode,
        why: str,
        seconds: float,
        *,
        model: str,
        version: str = "",
        replica: str = "",
        method: str = "",
        request_id: str = "",
        metadata: Metadata = (),
    ) -> None:
        """A request has failed.

        Args:
            seconds: it took.
            replica: the one that answered last; "": none did, or it is not known.
            metadata: as it came: the trace and the request's id are taken from it.
        """
        now = self._clock.now()
        if now - self._second >= 1.0:
            if self._left_out:
                log.warning("requests failed", left_out=self._left_out, seconds=round(now - self._second, 3))
            self._second, self._lines, self._left_out = now, 0, 0
        self._lines += 1
        if self._lines > self._most:
            self._left_out += 1
            return
        said = {
            "code": code.name,
            "why": why[:LONGEST],
            "seconds": round(seconds, 6),
            "model": model,
            "version": version,
            "replica": replica,
            "method": method.rpartition("/")[2],
            "request_id": request_id or _value(metadata, REQUEST_ID),
            "trace_id": trace_of(metadata),
        }
        tell = log.warning if code in FAULTS else log.info
        tell("request failed", **{key: value for key, value in said.items() if value != ""})

    def raised(
        self,
        error: BaseException,
        began: float,
        *,
        model: str,
        version: str = "",
        method: str = "",
        metadata: Metadata = (),
    ) -> Status:
        """A request has failed with an exception.

        Args:
            began: when, on the clock.

        Returns:
            its status.
        """
        status = status_of(error)
        self.told(
            status.code,
            status.message,
            self._clock.now() - began,
            model=model,
            version=version,
            replica=error.replica if isinstance(error, InferloomError) else "",
            method=method,
            metadata=metadata,
        )
        return status


def trace_of(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """The id in a W3C trace context (32 hex digits); "" where there is none."""
    parts = _value(metadata, TRACEPARENT).split("-")
    return parts[1] if len(parts) >= 4 and len(parts[1]) == 32 else ""


def _value(metadata: Iterable[tuple[str, str | bytes]], key: str) -> str:
    return next((str(value)[:200] for name, value in metadata if name == key), "")
