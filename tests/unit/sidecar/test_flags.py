"""The command line of tritonserver, and which versions are safe to show."""

from __future__ import annotations

import pytest

from inferloom.mesh.errors import ConfigError
from inferloom.sidecar.flags import flags, is_vulnerable, version_tuple
from inferloom.sidecar.server import listen_host, refuse_vulnerable


def made(**changes: object) -> list[str]:
    values: dict[str, object] = {
        "repository": "/models",
        "backend_directory": None,
        "http_port": 1,
        "grpc_port": 2,
        "metrics_port": 3,
        "host": "127.0.0.1",
    }
    return flags(**{**values, **changes})  # type: ignore[arg-type]


def test_models_are_loaded_by_the_sidecar_alone() -> None:
    options = made(secret="s3cret")
    assert "--model-control-mode=explicit" in options
    restricted = "model-repository,shared-memory,trace,logging:inferloom=s3cret"
    assert f"--grpc-restricted-protocol={restricted}" in options
    assert f"--http-restricted-api={restricted}" in options
    assert not [option for option in made() if "restricted" in option]


def test_metrics_stay_on_this_machine() -> None:
    options = made(host="0.0.0.0")
    assert "--grpc-address=0.0.0.0" in options
    assert "--metrics-address=127.0.0.1" in options


def test_idle_connections_may_be_pinged() -> None:
    assert "--grpc-keepalive-permit-without-calls=true" in made()
    assert "--grpc-http2-min-recv-ping-interval-without-data=5000" in made()


def test_options_of_the_user_come_last_so_that_they_win() -> None:
    assert made(extra=("--log-verbose=1",))[-1] == "--log-verbose=1"


@pytest.mark.parametrize(
    ("version", "numbers"), [("2.51.0", (2, 51, 0)), ("2.59.1rc1", (2, 59, 11)), ("", ()), ("dev", ())]
)
def test_versions_are_compared_as_numbers(version: str, numbers: tuple[int, ...]) -> None:
    assert version_tuple(version) == numbers


@pytest.mark.parametrize(
    ("version", "old"), [("2.51.0", True), ("2.58.9", True), ("2.59.0", False), ("3.0", False), ("", True)]
)
def test_what_is_older_than_25_07_has_holes(version: str, old: bool) -> None:
    assert is_vulnerable(version) is old


def test_an_old_triton_is_refused_where_others_reach_it() -> None:
    for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost"):
        refuse_vulnerable("2.51.0", host, allowed=False)
    for host in ("10.0.0.1", "::", "fe80::1", "triton.example"):
        with pytest.raises(ConfigError, match="remotely exploitable"):
            refuse_vulnerable("2.51.0", host, allowed=False)
        refuse_vulnerable("2.51.0", host, allowed=True)
        refuse_vulnerable("2.59.0", host, allowed=False)


@pytest.mark.parametrize(
    ("advertise", "listens"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("localhost", "127.0.0.1"),
        ("::1", "::1"),
        ("10.0.0.1", "0.0.0.0"),
        ("fe80::1", "::"),
    ],
)
def test_triton_listens_where_it_is_advertised(advertise: str, listens: str) -> None:
    assert listen_host(advertise) == listens
