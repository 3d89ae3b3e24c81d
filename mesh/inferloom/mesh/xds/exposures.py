"""Requests that edges have split, counted and exposed by the router process like those it splits itself.

Envoy's gRPC access log brings them in batches (mesh/xds/access_log_splits.py). What the Lua filter has noted of each:

    model, arm, served, propensity, unit's point, override, request id     joined by tabs
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

import grpc
import structlog

from inferloom.mesh.latest import Latest
from inferloom.mesh.router.splitting import Splitting
from inferloom.mesh.splits.exposure import Exposure
from inferloom.mesh.xds.outcome import outcome

__all__ = ["ASKED", "KEY", "NAMESPACE", "PATH", "STATUS", "EdgeExposures", "exposures"]

log = structlog.get_logger(__name__)

NAMESPACE, KEY = "inferloom.split", "turn"  # of the dynamic metadata
ASKED = "model"  # beside it: the model whose split it is, where the arm leads to another one
STATUS = "grpc-status"
PATH = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs"


class EdgeExposures:
    """An access log service, for a RouterServer's `extra`.

    Attributes:
        served: empty: it stands for no model.
    """

    def __init__(self, splitting: Splitting) -> None:
        self.served: Latest[Mapping[str, str]] = Latest({})
        self._splitting = splitting
        self._handler = grpc.stream_unary_rpc_method_handler(self._take)

    @property
    def busy(self) -> bool:
        """Never: a draining router need not wait for logs, which go to another one."""
        return False

    def handler(self, path: str) -> Any | None:
        return self._handler if path == PATH else None

    async def files(self, *, symbol: str = "", name: str = "") -> Sequence[bytes] | None:
        return None

    async def _take(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        """One edge's stream; it lasts as long as both do."""
        async for batch in requests:
            for exposure in exposures(batch):
                self._splitting.seen(exposure)
        return b""


def exposures(batch: bytes) -> Iterator[Exposure]:
    """Those in a serialised StreamAccessLogsMessage; an entry that is none of the Lua's is left out, and logged."""
    from inferloom.mesh.xds.access_log_messages import StreamAccessLogsMessage

    for entry in StreamAccessLogsMessage.FromString(batch).http_logs.entries:
        noted = {each.key: each.value for each in entry.common.metadata.filter_metadata}.get(NAMESPACE)
        turn = noted.fields[KEY].string_value if noted is not None else ""
        try:
            model, arm, served, part, point, override, request_id = turn.split("\t")
            propensity = float(part)
        except ValueError:
            log.warning("an edge's split cannot be read", turn=turn)
            continue
        set_by_hand = override == "1"
        yield Exposure(
            model,
            point,
            arm,
            served,
            1.0 if set_by_hand else propensity,
            set_by_hand,
            entry.common.start_time.ToNanoseconds() / 1e9,
            unquote(request_id),
            (),
            _code(entry),
            entry.common.duration.ToNanoseconds() / 1e9,
        )


def _code(entry: Any) -> str:
    """The name of the status the caller got; CANCELLED where it went away before."""
    response, flags = entry.response, entry.common.response_flags
    gone = flags.downstream_connection_termination or flags.downstream_remote_reset
    return outcome(_status(response.trailers) or _status(response.headers), response.code.value, gone=gone)


def _status(headers: Sequence[Any]) -> str:
    return next((each.value for each in headers if each.key == STATUS), "")
