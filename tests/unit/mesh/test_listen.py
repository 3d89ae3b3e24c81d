from __future__ import annotations

import pytest

from inferloom.mesh.errors import ConfigError
from inferloom.mesh.listen import Address, parse_address


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:8081", Address("127.0.0.1", 8081)),
        (":8081", Address("127.0.0.1", 8081)),
        ("8081", Address("127.0.0.1", 8081)),
        ("0.0.0.0:0", Address("0.0.0.0", 0)),
        ("[::1]:80", Address("::1", 80)),
        ("localhost:65535", Address("localhost", 65535)),
    ],
)
def test_an_address_is_host_and_port_and_a_port_alone_is_on_loopback(text: str, expected: Address) -> None:
    assert parse_address(text, "--grpc") == expected


@pytest.mark.parametrize("text", ["", "host", "host:", "host:x", "host:65536", "host:-1", "host:²"])
def test_what_is_no_address_names_the_option(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--grpc: .* is no HOST:PORT"):
        parse_address(text, "--grpc")


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("localhost", True), ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("0.0.0.0", False), ("a.b", False)],
)
def test_loopback_is_what_only_this_machine_can_reach(host: str, loopback: bool) -> None:
    assert Address(host, 1).loopback is loopback


def test_an_address_prints_as_it_is_read() -> None:
    for text in ("127.0.0.1:8081", "[::1]:80"):
        assert str(parse_address(text, "--grpc")) == text
