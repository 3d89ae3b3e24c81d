"""Whom the edge asks: the model, version and protocol of a request, in a real Envoy."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from inferloom.mesh.errors import InvalidInput
from inferloom.mesh.oip import CALL, DESCRIBE, SERVICE, TYPED, pb
from inferloom.mesh.wire import MOST_FIELDS, find_target
from tests.support.front import Front, infer, running_front

MODELS: dict[str, dict[str, list[str]]] = {
    "iris": {"one": ["1"]},
    "wine": {"one": ["1", "2"], "two": ["2", "3"]},
    "plan": {"one": []},  # a service: its versions are not known
    "Mixed.Case-1_x": {"one": ["1"]},
}
CALL_STREAM = f"/{TYPED}/CallStream"
MALFORMED = "INVALID_ARGUMENT: the request is no message of the Open Inference Protocol: its bytes do not parse"


@pytest.fixture
async def front(tmp_path: Path) -> AsyncIterator[Front]:
    async with running_front(tmp_path, MODELS, services=["plan"]) as front:
        yield front


async def test_a_model_is_asked_itself_and_what_it_is_sent_is_unchanged(front: Front) -> None:
    for model in ("iris", "Mixed.Case-1_x"):
        sent = infer(model, size=100, id="x")
        assert await front.call(sent) == f"{model}/one"
        assert front.last.body == sent


async def test_names_the_edge_does_not_know_are_the_routers(front: Front) -> None:
    for model in ("", "rose", "IRIS", "mixed.case-1_x", "-", ".", "..", "iris/one", "model/iris", "é", "*"):
        assert await front.call(infer(model)) == "router", model
        assert front.last.message.model_name == model


async def test_a_request_without_a_version_is_given_the_oldest_one_where_there_are_several(front: Front) -> None:
    for _ in range(4):
        assert await front.call(infer("wine", size=50, id="x")) == "wine/one", "the only one that has version 1"
        assert front.last.message == pb.ModelInferRequest.FromString(infer("wine", "1", size=50, id="x"))


async def test_a_version_that_is_named_is_asked_where_it_is(front: Front) -> None:
    asked = {version: {await front.call(infer("wine", version)) for _ in range(12)} for version in "1234"}
    assert asked == {"1": {"wine/one"}, "2": {"wine/one", "wine/two"}, "3": {"wine/two"}, "4": {"router"}}
    assert await front.call(infer("iris", "1")) == "iris/one"
    assert await front.call(infer("iris", "2")) == "router"


async def test_a_large_message_that_would_have_to_be_written_anew_is_the_routers(front: Front) -> None:
    assert await front.call(infer("wine", size=5 << 20)) == "router"
    assert await front.call(infer("wine", "2", size=5 << 20)) in ("wine/one", "wine/two")
    assert await front.call(infer("wine", size=3 << 20)) == "wine/one"
    assert front.last.message.model_version == "1"


async def test_of_several_names_and_versions_the_last_counts(front: Front) -> None:
    assert await front.call(infer("rose") + infer("iris")) == "iris/one"
    assert await front.call(infer("iris") + infer("rose")) == "router"
    assert await front.call(infer("wine", "1") + infer("", "3")) == "wine/two"
    assert await front.call(infer("iris", size=3 << 20) + infer("wine", "3")) == "wine/two", "behind a tensor"
    assert await front.call(infer("x" * 300) + infer("iris")) == "iris/one"


async def test_sequences_are_the_routers(front: Front) -> None:
    def of(**value: object) -> bytes:
        return infer("iris", parameters={"sequence_id": pb.InferParameter(**value)}, size=10)

    assert await front.call(of(int64_param=7)) == "router"
    assert await front.call(of(string_param="a" * 500)) == "router"
    assert await front.call(of(int64_param=0)) == "iris/one", "none to Triton"
    assert await front.call(of(string_param="")) == "iris/one"
    assert await front.call(infer(parameters={"sequence_ids": pb.InferParameter(int64_param=7)})) == "iris/one"


async def test_what_is_not_one_plain_message_is_the_routers(front: Front) -> None:
    assert await front.call(infer(size=2000), compression=grpc.Compression.Gzip) == "router"
    assert await front.call(b"") == "router"


async def test_a_service_is_asked_for_calls_and_the_router_describes_it(front: Front) -> None:
    body = b"\x0a\x04plan\x1a\x02{}"
    assert await front.call(body, CALL.path) == "plan/one"
    assert front.last.body == body
    assert await front.listen(body, CALL_STREAM) == "plan/one"
    assert await front.call(body, DESCRIBE.path) == "router"
    assert await front.listen(b"\x0a\x04rose", CALL_STREAM) == "router"


async def test_what_is_asked_about_models_is_the_routers(front: Front) -> None:
    for method in ("ModelMetadata", "ModelReady", "ServerLive", "RepositoryIndex", "ModelStatistics", "NoSuch"):
        assert await front.call(b"\x0a\x04iris", f"/{SERVICE}/{method}") == "router"


async def test_streams_go_where_their_first_message_says(front: Front) -> None:
    assert await front.talk(infer("iris"), infer("wine")) == "iris/one"
    assert await front.talk(infer("rose"), infer("iris")) == "router"
    assert await front.talk(infer("")) == "router"
    assert await front.talk(infer("wine")) == "router", "its messages would need a version"
    assert await front.talk(infer("rose") + infer("iris")) == "iris/one", "the last name of a message counts"


async def test_rest_reaches_the_models_http_port(front: Front) -> None:
    for asked, who, arrived in (
        ("/v2/models/iris/infer", "iris/one", "/v2/models/iris/infer"),
        ("/v2/models/iris/infer?a=%20b", "iris/one", "/v2/models/iris/infer?a=%20b"),
        ("/v2/models/%69ris/versions/%31/generate?x", "iris/one", "/v2/models/iris/versions/1/generate?x"),
        ("/v2/models/iris/generate_stream", "iris/one", "/v2/models/iris/generate_stream"),
        ("/v2/models/wine/infer", "wine/one", "/v2/models/wine/versions/1/infer"),
        ("/v2/models/wine/versions/3/infer", "wine/two", "/v2/models/wine/versions/3/infer"),
        ("/v2/models/wine/versions/9/infer", "http", "/v2/models/wine/versions/9/infer"),
        ("/v2/models/rose/infer", "http", "/v2/models/rose/infer"),
        ("/v2/models/iris/config", "http", "/v2/models/iris/config"),
        ("/v2/models/%0Airis/infer", "http", "/v2/models/%0Airis/infer"),
        ("/v2/models/iris/infer/", "http", "/v2/models/iris/infer/"),
        ("/v1/iris", "http", "/v1/iris"),
    ):
        assert await front.http(asked) == (200, {"who": who, "path": arrived}), asked
    assert (await front.http("/v2/models/iris/infer", method="GET"))[1]["who"] == "http"


async def test_a_rest_request_of_a_sequence_is_the_routers(front: Front) -> None:
    sequence = b'{"parameters": {"sequence_id": 7}, "inputs": []}'
    far = b'{"inputs": [' + b" " * 65_530 + b'], "parameters": {"sequence_id": 7}}'
    for body in (sequence, far):
        assert (await front.http("/v2/models/iris/infer", body))[1]["who"] == "http"
    tensor = b"{}" + b'"sequence_id"'
    assert (await front.http("/v2/models/iris/infer", tensor))[1]["who"] == "http"
    binary = {"Inference-Header-Content-Length": "2"}
    assert (await front.http("/v2/models/iris/infer", tensor, headers=binary))[1]["who"] == "iris/one", (
        "it is in the tensor"
    )
    assert front.last.body == tensor


async def test_every_message_is_read_as_the_router_reads_it(front: Front) -> None:
    """Random ones, broken ones among them, against mesh/wire.py."""
    draw = random.Random(4)
    messages = [_message(draw) for _ in range(600)]
    messages += [b"\x7a\x00" * count + tail for count in (MOST_FIELDS, MOST_FIELDS + 1) for tail in (b"", b"\x0f")]
    wrong = []
    for message in messages:
        told = await front.call(message)
        if told != (expected := _expected(message)):
            wrong.append((message[:80], told, expected))
    assert not wrong, wrong[:3]


def _expected(message: bytes) -> str:
    try:
        target = find_target(message, 1, 2, infer=True)
    except InvalidInput as error:
        return "router" if _parses(message) else f"INVALID_ARGUMENT: {error}"
    direct = target.model == "iris" and target.version in ("", "1") and target.sequence is None
    return "iris/one" if direct else "router"


def _parses(message: bytes) -> bool:
    """Then it is a name that is no UTF-8, which the edge leaves to the router."""
    try:
        find_target(message, -1, -1)
    except InvalidInput:
        return False
    return True


def _message(draw: random.Random) -> bytes:
    if draw.random() < 0.05:
        return b"\x0a\x04iris" + b"\x0a\x02\xff\xfe"
    message = b"".join(_field(draw) for _ in range(draw.choice((1, 2, 3, 6))))
    if draw.random() < 0.15:
        message = message[: draw.randrange(len(message))]
    return message


def _field(draw: random.Random) -> bytes:
    number = draw.choice((1, 1, 1, 2, 3, 4, 5, 7, 16, 1000, draw.getrandbits(29)))
    kind = draw.random()
    if kind < 0.1:
        return _varint(number << 3) + _varint(draw.getrandbits(draw.choice((1, 7, 8, 32, 63, 64))))
    if kind < 0.2:
        return _varint(number << 3 | 5) + bytes(4) if kind < 0.15 else _varint(number << 3 | 1) + bytes(8)
    if kind < 0.23:
        return _varint(number << 3 | draw.choice((3, 4, 6, 7)))
    value = draw.choice((b"iris", b"iris", b"1", b"rose", b"", b"x" * 128, b"x" * 129, b"y" * 3000, b"z" * 70_000))
    if number == 2:
        value = draw.choice((b"1", b"1", b"", b"7", b"x" * 200))
    if number == 4:
        key = b"\x0a\x0bsequence_id"
        value = key + draw.choice(
            (b"", b"\x12\x00", b"\x12\x02\x10\x00", b"\x12\x02\x10\x05", b"\x12\x02\x1a\x00", b"a" * 9)
        )
    size = len(value) if draw.random() < 0.97 else draw.getrandbits(draw.choice((3, 14, 35, 63)))
    return _varint(number << 3 | 2) + _varint(size) + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
