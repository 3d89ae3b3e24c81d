"""What is told of a request from the entry of Envoy's access log; entries are built with Envoy's own messages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from envoy_data_plane.envoy.config.core.v3 import Address, Metadata, SocketAddress
from envoy_data_plane.envoy.data.accesslog.v3 import (
    AccessLogCommon,
    HttpAccessLogEntry,
    HttpRequestProperties,
    HttpResponseProperties,
)
from envoy_data_plane.google.protobuf import Struct

from inferloom.mesh.catalog import Catalog, Replica
from inferloom.mesh.explain.recent import Told
from inferloom.mesh.split import Split
from inferloom.mesh.xds.access_log_messages import StreamAccessLogsMessage
from inferloom.mesh.xds.edge_story import story_of
from inferloom.mesh.xds.edge_tries import FLAGS, TRIED
from inferloom.mesh.xds.exposures import ASKED, KEY, NAMESPACE

Entry = type(StreamAccessLogsMessage().http_logs.entries.add())
CATALOG = Catalog.build(
    [
        Replica("iris", "a", "10.0.0.1", 8001, versions=("2",), http_port=8000),
        Replica("iris", "b", "10.0.0.2", 8001, versions=("2",)),
    ]
)
SPLITS = {"wine": Split.from_json("wine", {"arms": [{"name": "new", "share": 1, "model": "iris", "version": "7"}]})}
AT = datetime(2026, 3, 1, 12, 0, 0, 500_000, tzinfo=UTC)
TURN = "wine\tnew\tnew\t0.25\t00ff\t0\tid%09"


def ms(milliseconds: float) -> timedelta:
    return timedelta(milliseconds=milliseconds)


def told(
    *,
    flags: str = "-",
    tried: str = "",
    last: str = "",
    noted: dict[str, str] | None = None,
    response: dict[str, Any] | None = None,
    request: dict[str, Any] | None = None,
    **common: Any,
) -> Told | None:
    if last:
        host, _, port = last.rpartition(":")
        common["upstream_remote_address"] = Address(socket_address=SocketAddress(address=host, port_value=int(port)))
    if noted is not None:
        common["metadata"] = Metadata(filter_metadata={NAMESPACE: Struct.from_dict(noted)})
    path = "/inference.GRPCInferenceService/ModelInfer"
    entry = HttpAccessLogEntry(
        common_properties=AccessLogCommon(
            **{
                "start_time": AT,
                "duration": ms(12.5),
                "upstream_cluster": "model/iris",
                "custom_tags": {FLAGS: flags, TRIED: tried},
                **common,
            }
        ),
        request=HttpRequestProperties(**{"path": path, "request_id": "r-1", **(request or {})}),
        response=HttpResponseProperties(**{"response_code": 200, **(response or {})}),
    )
    return story_of(Entry.FromString(bytes(entry)), CATALOG, SPLITS)


def sure(found: Told | None) -> Told:
    assert found is not None
    return found


OK = {"response_trailers": {"grpc-status": "0"}}
A, B = "10.0.0.1:8001", "10.0.0.2:8001"


def test_a_request_that_was_answered_is_told_with_its_replica_and_times() -> None:
    times: dict[str, Any] = {
        "time_to_first_upstream_tx_byte": ms(0.5),
        "time_to_first_upstream_rx_byte": ms(10),
        "time_to_last_upstream_rx_byte": ms(11),
    }
    sent = {"request_headers": {"traceparent": f"00-{'1' * 32}-{'2' * 16}-01"}}
    assert told(tried=A, last=A, upstream_request_attempt_count=1, response=OK, request=sent, **times) == {
        "request_id": "r-1",
        "model": "iris",
        "method": "ModelInfer",
        "code": "OK",
        "kind": "slow",
        "time": AT.timestamp(),
        "ms": 12.5,
        "trace_id": "1" * 32,
        "replica": "a",
        "version": "2",
        "attempts": [{"model": "iris", "replica": "a", "address": A, "code": "OK", "after_ms": 0.5, "ms": 10.5}],
        "layers": {"before": 0.5, "replica": 9.5, "after": 2.5},
    }


@pytest.mark.parametrize(
    ("tried", "last", "made", "flags", "asked"),
    [
        (f"{A},{B}", B, 2, "URX", ["a", "b"]),
        (A, B, 2, "UF,URX", ["a", "b"]),  # no connection: Envoy does not tell it among those it tried
        (f"{A},{B}", A, 3, "-", ["b or a", "b or a", "a"]),
        ("", A, 3, "UF,URX", ["a", "a", "a"]),
        (A, A, 2, "UH", ["a"]),  # for the second nobody was left
        ("", "", 1, "UH", []),
        ("", "10.0.0.9:1", 1, "UF", ["10.0.0.9:1"]),
    ],
)
def test_who_was_asked_is_told_as_far_as_envoy_knows(
    tried: str, last: str, made: int, flags: str, asked: list[str]
) -> None:
    error = {"response_headers": {"grpc-status": "14", "grpc-message": "gone%21"}}
    found = sure(told(tried=tried, last=last, flags=flags, upstream_request_attempt_count=made, response=error))
    attempts = found.get("attempts", [])
    assert [each["replica"] for each in attempts] == asked
    assert ["code" in each for each in attempts] == [
        number == made - 1 and "UH" not in flags for number in range(len(asked))
    ], "only of the last one it is known"
    assert (found["code"], found["message"]) == ("UNAVAILABLE", "gone!")


def test_flags_are_told_in_words_and_what_broke_the_connection_beside_them() -> None:
    found = sure(
        told(last=A, flags="URX,UF", upstream_request_attempt_count=1, upstream_transport_failure_reason="refused")
    )
    (attempt,) = found["attempts"]
    assert attempt["why"] == "no connection to the replica; no try was left; refused"
    assert found["message"] == "no connection to the replica; no try was left"
    assert sure(told(flags="UT,XX", last=A, upstream_request_attempt_count=1))["message"] == "time-out of the try; XX"


@pytest.mark.parametrize(
    ("cluster", "flags", "response", "code"),
    [
        ("model/iris", "-", {"response_headers": {"grpc-status": "3"}}, "INVALID_ARGUMENT"),
        ("model/iris", "-", {}, "UNKNOWN"),  # the answer broke off
        ("model/iris", "DR", {"response_code": 0}, "CANCELLED"),
        ("rest/iris", "-", {"response_code": 400}, "INVALID_ARGUMENT"),
        ("rest/iris", "UF", {"response_code": 503}, "UNAVAILABLE"),
        ("rest/iris", "-", {}, "OK"),
    ],
)
def test_the_code_is_the_callers(cluster: str, flags: str, response: dict[str, Any], code: str) -> None:
    found = sure(told(upstream_cluster=cluster, flags=flags, response=response))
    assert (found["code"], found["kind"]) == (code, "slow" if code == "OK" else "failed")
    assert bool(found.get("message")) == (code != "OK")


def test_a_rest_request_has_the_replica_of_its_rest_port() -> None:
    sent = {"path": "/v2/models/iris/versions/2/infer?a=b"}
    at = "10.0.0.1:8000"
    found = sure(told(upstream_cluster="rest/iris@2", last=at, upstream_request_attempt_count=1, request=sent))
    assert (found["method"], found["replica"], found["version"]) == ("infer", "a", "2")


def test_a_split_has_its_arm_the_model_that_was_asked_and_the_messages_id() -> None:
    noted = {KEY: TURN, ASKED: "wine"}
    found = sure(told(noted=noted, last=A, upstream_request_attempt_count=1, response=OK, request={"request_id": ""}))
    assert (found["model"], found["split"], found["arm"]) == ("wine", "wine", "new")
    assert (found["request_id"], found["version"]) == ("id\t", "7")
    assert found["attempts"][0]["model"] == "iris"


def test_without_an_id_of_the_caller_the_hosts_is_taken() -> None:
    answer = {"response_trailers": {"grpc-status": "2", "x-inferloom-request-id": "of-the-host"}}
    assert sure(told(response=answer, request={"request_id": ""}))["request_id"] == "of-the-host"


@pytest.mark.parametrize(
    ("cluster", "flags", "is_told"),
    [
        ("mesh-router", "-", False),
        ("mesh-router", "UT", False),  # it may have seen it, and tells it itself
        ("mesh-router", "UF,URX", True),
        ("mesh-http", "UO", True),
        ("", "NR", True),
        ("", "-", False),
    ],
)
def test_what_the_router_may_have_seen_is_left_to_it(cluster: str, flags: str, is_told: bool) -> None:
    found = told(upstream_cluster=cluster, flags=flags, response={"response_code": 503})
    assert (found is not None) == is_told
    if found is not None:
        assert found["model"] == "(unknown)"


def test_streams_are_told_where_they_fail_and_not_how_long_they_last() -> None:
    failed = {"response_trailers": {"grpc-status": "13"}}
    assert told(route_name="stream", response=OK) is None
    assert told(route_name="stream", flags="DR", response={"response_code": 200}) is None
    assert sure(told(route_name="stream", response=failed))["code"] == "INTERNAL"
