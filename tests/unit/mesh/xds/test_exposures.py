"""Batches as Envoy sends them: built here with Envoy's own messages, read without them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from envoy_data_plane.envoy.config.core.v3 import Metadata
from envoy_data_plane.envoy.data.accesslog.v3 import (
    AccessLogCommon,
    HttpAccessLogEntry,
    HttpRequestProperties,
    HttpResponseProperties,
    ResponseFlags,
)
from envoy_data_plane.envoy.service.accesslog.v3 import (
    StreamAccessLogsMessage,
    StreamAccessLogsMessageHttpAccessLogEntries,
)
from envoy_data_plane.google.protobuf import Struct

from inferloom.mesh.splits.exposure import Exposure
from inferloom.mesh.xds.exposures import KEY, NAMESPACE, exposures

TURN = "wine\t1\t2\t0.25\t00ff00ff00ff00ff\t0\tid%09%25"
AT = datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=UTC)


def batch(*turns: str, flags: ResponseFlags | None = None, **response: Any) -> bytes:
    entries = [
        HttpAccessLogEntry(
            common_properties=AccessLogCommon(
                start_time=AT,
                duration=timedelta(milliseconds=12.5),
                response_flags=flags,
                metadata=Metadata(
                    filter_metadata={NAMESPACE: Struct.from_dict({KEY: turn}), "other": Struct.from_dict({"a": [1]})}
                ),
            ),
            request=HttpRequestProperties(path="/x", authority="y"),
            response=HttpResponseProperties(**{"response_code": 200, **response}),
        )
        for turn in turns
    ]
    return bytes(StreamAccessLogsMessage(http_logs=StreamAccessLogsMessageHttpAccessLogEntries(log_entry=entries)))


def code(**response: Any) -> str:
    (exposure,) = exposures(batch(TURN, **response))
    return exposure.code


def test_a_request_is_read_with_all_that_is_known_of_it() -> None:
    (told,) = exposures(batch(TURN, response_trailers={"grpc-status": "0"}))
    point = "00ff00ff00ff00ff"
    assert told == Exposure("wine", point, "1", "2", 0.25, False, AT.timestamp(), "id\t%", (), "OK", 0.0125)


def test_a_tester_has_its_arm_for_certain() -> None:
    (told,) = exposures(batch(TURN.replace("\t0\t", "\t1\t")))
    assert (told.override, told.propensity) == (True, 1.0)


def test_the_code_is_the_callers() -> None:
    assert code(response_trailers={"grpc-status": "5"}) == "NOT_FOUND"
    assert code(response_headers={"grpc-status": "14"}) == "UNAVAILABLE"
    assert code(response_trailers={"grpc-status": "77"}) == "UNKNOWN"
    assert code(response_trailers={"grpc-status": "x"}) == "UNKNOWN"
    assert code() == "OK"
    assert code(response_code=400) == "INVALID_ARGUMENT"
    assert code(response_code=504) == "DEADLINE_EXCEEDED"
    assert code(response_code=500) == "INTERNAL"
    assert code(response_code=None) == "CANCELLED"
    assert code(flags=ResponseFlags(downstream_remote_reset=True)) == "CANCELLED"
    assert code(flags=ResponseFlags(downstream_connection_termination=True)) == "CANCELLED"


def test_an_entry_that_cannot_be_read_is_left_out_and_the_others_are_not() -> None:
    assert [told.split for told in exposures(batch("odd", TURN, "a\tb\tc\tnot a number\te\tf\tg"))] == ["wine"]
    assert list(exposures(b"")) == []
