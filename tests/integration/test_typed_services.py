"""Services of a real host by typed gRPC: messages in, the same JSON as ever further in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Value
from grpc import StatusCode

from inferloom.mesh.registry.memory import MemoryRegistry
from tests.support.host import running_host, write_app
from tests.support.typed import Stub, TypedMesh, raw, running_typed, stub, violations

APP = """
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from inferloom.sdk import service


@dataclass
class Box:
    left: float
    label: str | None = None


@dataclass
class Answer:
    size: int
    boxes: list[Box]
    counts: dict[str, int]
    raw: bytes
    extra: Any = None


@service
class Look:
    '''Looks at a picture.'''

    async def predict(
        self, png: bytes, boxes: list[Box], most: Annotated[int, Field(ge=1)] = 5, extra: Any = None
    ) -> Answer:
        return Answer(len(png), boxes[:most], {"boxes": len(boxes)}, png, extra)

    async def words(self, text: str) -> list[str]:
        return text.split()


@service(stream=True)
async def Tokens(text: str) -> AsyncIterator[str]:
    for word in text.split():
        yield word
"""


@pytest.fixture
async def typed(tmp_path: Path) -> AsyncIterator[TypedMesh]:
    app = write_app(tmp_path / "app" / "app.py", APP)
    async with running_typed({}) as one:
        assert isinstance(one.mesh.registry, MemoryRegistry)
        async with running_host(one.mesh.registry, app):
            async with asyncio.timeout(30):
                while len(one.faces.served.value) < 3:
                    await asyncio.sleep(0.02)
            yield one


async def reflected(typed: TypedMesh, name: str) -> Stub:
    (service,) = [service for service, of in typed.faces.served.value.items() if of == name]
    return await asyncio.to_thread(stub, typed.mesh.address, service, typed.channel)


async def test_a_service_is_called_with_messages_and_answers_with_one(typed: TypedMesh) -> None:
    look = await reflected(typed, "Look")
    request = look.PredictRequest(png=b"\x00\xff", boxes=[{"left": 0.5, "label": "a"}, {"left": 1}], most=2)
    request.extra.struct_value.update({"a": [1, 2.5, None, {"b": []}]})
    answer = await look.Predict(request)
    extra = Value.FromString(answer.extra.SerializeToString())
    assert MessageToDict(extra) == {"a": [1.0, 2.5, None, {"b": []}]}
    answer.ClearField("extra")
    assert MessageToDict(answer) == {
        "size": "2",
        "boxes": [{"left": 0.5, "label": "a"}, {"left": 1.0}],
        "counts": {"boxes": "2"},
        "raw": "AP8=",
    }
    told = await look.Describe(look.DescribeRequest())
    assert (told.name, told.description) == ("Look", "Looks at a picture.")
    assert '"png"' in told.request_schema


async def test_another_method_has_a_service_of_its_own(typed: TypedMesh) -> None:
    words = await reflected(typed, "Look.words")
    assert list((await words.Predict(words.PredictRequest(text="to be"))).value) == ["to", "be"]


async def test_what_is_wrong_is_told_by_field_over_both(typed: TypedMesh) -> None:
    look = await reflected(typed, "Look")
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await look.Predict(look.PredictRequest(boxes=[{"left": 1}], most=0))
    assert error.value.code() is StatusCode.INVALID_ARGUMENT
    assert violations(error.value) == {
        "png": "is missing",
        "most": "Input should be greater than or equal to 1, got 0",
    }
    status, answer = await typed.post("/v1/Look", {"png": "", "boxes": [{"lef": 1}]})
    assert status == 400
    assert {each["field"] for each in answer["details"][0]["fieldViolations"]} == {"boxes[0].left", "boxes[0].lef"}


async def test_a_stream_answers_one_by_one_and_a_wrong_method_says_which_is_right(typed: TypedMesh) -> None:
    tokens = await reflected(typed, "Tokens")
    request = tokens.PredictStreamRequest(text="to be")
    assert [each.value async for each in tokens.PredictStream(request)] == ["to", "be"]
    look = next(service for service, of in typed.faces.served.value.items() if of == "Look")
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await raw(typed.channel, f"/{look}/PredictStream")
    assert (error.value.code(), error.value.details()) == (
        StatusCode.UNIMPLEMENTED,
        "'Look' answers once: call Predict",
    )
