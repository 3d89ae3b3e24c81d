"""Addresses and TLS options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from inferloom.clients.channel import Endpoint
from inferloom.mesh.errors import ConfigError


@pytest.mark.parametrize(
    ("address", "target", "secure"),
    [
        ("127.0.0.1:8081", "127.0.0.1:8081", False),
        ("http://mesh:80/", "mesh:80", False),
        ("https://mesh:443", "mesh:443", True),
        ("grpcs://mesh:443", "mesh:443", True),
        ("[::1]:8081", "[::1]:8081", False),
        ("unix:/run/mesh.sock", "unix:/run/mesh.sock", False),
        ("xds:///digits", "xds:///digits", False),
    ],
)
def test_an_address_says_where_to_and_whether_with_tls(address: str, target: str, secure: bool) -> None:
    endpoint = Endpoint(address)
    assert (endpoint.target, endpoint.secure) == (target, secure)


@pytest.mark.parametrize("address", ["", "mesh", "mesh:", ":8081", "mesh:0", "mesh:99999", "mesh:http", "https://mesh"])
def test_what_is_no_address_is_explained(address: str) -> None:
    with pytest.raises(ConfigError, match="is no address of a server: give HOST:PORT, as in 127"):
        Endpoint(address)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keepalive": 0.0}, "keepalive is in seconds, at least 1; got 0.0"),
        ({"cert": "c.pem"}, "mutual TLS takes both cert= and key="),
        ({"ca": "ca.pem", "tls": False}, "ca= and cert= are for TLS"),
        ({"address": "http://h:1", "ca": "ca.pem"}, "ca= and cert= are for TLS"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Endpoint(**options)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "ca.pem"
    with pytest.raises(ConfigError, match=r"ca='.*ca\.pem' cannot be read: No such file"):
        Endpoint(ca=missing).connect()


def test_an_http_proxy_is_not_asked_for_this_machine() -> None:
    assert ("grpc.enable_http_proxy", 0) in Endpoint("127.0.0.1:1").options()
    assert ("grpc.enable_http_proxy", 0) not in Endpoint("mesh:1").options()


def test_limits_and_reconnects_are_set() -> None:
    options = dict(Endpoint(max_message_bytes=5, server_name="mesh", keepalive=20).options())
    assert options["grpc.max_send_message_length"] == options["grpc.max_receive_message_length"] == 5
    assert options["grpc.max_reconnect_backoff_ms"] == 2000
    assert options["grpc.keepalive_time_ms"] == 20_000
    assert options["grpc.use_local_subchannel_pool"] == 1
    assert options["grpc.ssl_target_name_override"] == "mesh"
