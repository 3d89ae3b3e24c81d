"""What a client refuses without asking anybody."""

from __future__ import annotations

from typing import Any

import pytest

from inferloom.clients.channel import Endpoint
from inferloom.clients.transport import Transport
from inferloom.mesh.errors import ConfigError, Exhausted, InferloomError, InvalidInput
from inferloom.sdk import MeshClient, SyncMeshClient


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan")])
async def test_there_is_always_a_deadline(timeout: float) -> None:
    with pytest.raises(InvalidInput, match="timeout is in seconds, above 0 and finite"):
        MeshClient(timeout=timeout)
    async with MeshClient() as mesh:
        with pytest.raises(InvalidInput, match="timeout is in seconds"):
            await mesh.infer("m", [1], timeout=timeout)


def test_its_repr_shows_the_address() -> None:
    assert repr(MeshClient("mesh:81")) == "<MeshClient mesh:81>"


async def test_a_closed_client_says_so() -> None:
    mesh = MeshClient()
    await mesh.close()
    await mesh.close()
    with pytest.raises(InferloomError, match="this client is closed"):
        await mesh.infer("m", [1])


def test_a_closed_synchronous_client_says_so() -> None:
    mesh = SyncMeshClient()
    mesh.close()
    mesh.close()
    with pytest.raises(InferloomError, match="this client is closed"):
        mesh.infer("m", [1])


def test_a_wrong_address_is_found_at_once() -> None:
    with pytest.raises(ConfigError, match="give HOST:PORT"):
        SyncMeshClient("mesh")


async def test_a_stream_knows_two_ways_with_errors() -> None:
    wrong: Any = "ignore"
    with pytest.raises(InvalidInput, match="on_error is 'raise' or 'yield', not 'ignore'"):
        MeshClient().stream("m", [], on_error=wrong)


async def test_a_handle_takes_its_inputs_in_one_way() -> None:
    handle = MeshClient().model("m")
    with pytest.raises(InvalidInput, match="call m with its inputs by name"):
        await handle([1], x=[2])


def test_a_handle_with_options_is_another_one() -> None:
    handle = MeshClient().model("m", version=2)
    assert handle.options(timeout=1.0).timeout == 1.0
    assert handle.options(timeout=1.0).version == 2
    assert handle.timeout is None


def test_metadata_is_made_fit_for_grpc() -> None:
    transport = Transport(Endpoint(), token="t")
    headers = transport._headers({"Trace-Parent": "00-1", "count": 3, "raw-bin": b"\0"})
    assert headers == (("trace-parent", "00-1"), ("count", "3"), ("raw-bin", b"\0"), ("authorization", "Bearer t"))


def test_a_token_of_the_call_goes_before_the_clients() -> None:
    headers = Transport(Endpoint(), token="t")._headers([("Authorization", "Bearer u")])
    assert headers == (("authorization", "Bearer u"),)


@pytest.mark.parametrize("value", ["é", "a\nb"])
def test_metadata_that_grpc_cannot_carry_is_explained(value: str) -> None:
    with pytest.raises(InvalidInput, match="metadata 'user' may hold printable ASCII only"):
        Transport(Endpoint())._headers({"user": value})


def test_a_request_over_the_bound_is_not_sent() -> None:
    with pytest.raises(Exhausted, match="the request has 5 bytes, over this client's bound of 4") as caught:
        Transport(Endpoint(max_message_bytes=4)).check_size(b"12345")
    assert caught.value.reason == "size"
