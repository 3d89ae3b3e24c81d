"""What of HTTP's headers travels with a call."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from inferloom.mesh.errors import InvalidInput
from inferloom.services.typed.http_headers import metadata_of, response_headers, timeout_of


def headers(**pairs: str) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict({key.replace("_", "-"): value for key, value in pairs.items()}))


def test_the_trace_and_the_callers_own_headers_travel_and_the_browsers_stay() -> None:
    given = headers(
        Traceparent="00-a", Baggage="k=v", X_Request_Id="1", User="ann", Host="h", Cookie="c", Sec_Fetch_Mode="cors",
        Content_Type="application/json", Accept_Language="de", Authorization="Bearer x", User_Agent="ua",
        Grpc_Timeout="1S", X_Inferloom_Timeout="1", Trace_Bin="AA==",
    )  # fmt: skip
    assert metadata_of(given) == (("traceparent", "00-a"), ("baggage", "k=v"), ("x-request-id", "1"), ("user", "ann"))


@pytest.mark.parametrize("value", ["é", "a\tb", "\udcff"])
def test_a_value_that_grpc_cannot_carry_is_told(value: str) -> None:
    with pytest.raises(InvalidInput, match=r"^header 'User': takes printable ASCII$"):
        metadata_of(headers(User=value))


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ({}, None),
        ({"X_Inferloom_Timeout": "0.5"}, 0.5),
        ({"grpc_timeout": "500m"}, 0.5),
        ({"grpc_timeout": "2S"}, 2.0),
        ({"grpc_timeout": "1H", "X_Inferloom_Timeout": "3"}, 3.0),
    ],
)
def test_the_callers_time_is_read_in_seconds(given: dict[str, str], seconds: float | None) -> None:
    assert timeout_of(headers(**given)) == seconds


@pytest.mark.parametrize("given", ["", "0", "-1", "nan", "inf", "soon"])
def test_a_time_that_is_none_is_refused(given: str) -> None:
    with pytest.raises(InvalidInput, match=r"^header 'X-Inferloom-Timeout': takes seconds above 0"):
        timeout_of(headers(X_Inferloom_Timeout=given))


@pytest.mark.parametrize("given", ["", "0S", "5", "S", "5 S", "123456789S"])
def test_a_grpc_timeout_that_is_none_is_refused(given: str) -> None:
    with pytest.raises(InvalidInput, match=r"^header 'grpc-timeout': takes a number and a unit"):
        timeout_of(headers(grpc_timeout=given))


def test_what_the_replica_told_comes_back() -> None:
    told = (("x-inferloom-arm", "b"), ("x-raw-bin", b"\x00"), ("content-type", "application/grpc"))
    assert response_headers("r-1", (), told) == {"x-inferloom-arm": "b", "X-Request-Id": "r-1"}
