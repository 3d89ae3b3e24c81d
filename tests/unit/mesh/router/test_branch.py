"""How many messages of a stream may wait for their first answer."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from inferloom.mesh.oip import pb
from inferloom.mesh.router.branch import WINDOW, Branch, Message


def branch(messages: int) -> Branch:
    made = Branch(cast(Any, None), cast(Any, None), cast(Any, None))
    for number in range(messages):
        made.expect(Message(str(number).encode(), 0.0, quiet=True))
    return made


def answer(number: int, *, final: bool) -> bytes:
    response = pb.ModelInferResponse(id=str(number))
    response.parameters["triton_final_response"].bool_param = final
    return bytes(pb.ModelStreamInferResponse(infer_response=response).SerializeToString())


async def waits(made: Branch) -> asyncio.Task[None]:
    waiting = asyncio.create_task(made.room())
    await asyncio.sleep(0)
    return waiting


async def test_one_less_than_the_window_leaves_room() -> None:
    assert (await waits(branch(WINDOW - 1))).done()


async def test_a_full_window_waits_for_the_first_answer_of_one_of_its_messages() -> None:
    made = branch(WINDOW)
    waiting = await waits(made)
    assert not waiting.done()
    assert made.settle(answer(3, final=False)) is None  # a decoupled model has begun to answer it
    await waiting
    made.expect(Message(b"next", 0.0, quiet=True))
    waiting = await waits(made)
    assert not waiting.done()
    made.settle(answer(3, final=True))  # it counted when it began
    await asyncio.sleep(0)
    assert not waiting.done()
    made.settle(answer(4, final=True))
    await waiting


async def test_messages_of_one_id_are_counted_each() -> None:
    made = branch(WINDOW - 2)
    for _ in range(2):
        made.expect(Message(b"twin", 0.0, quiet=True))
    waiting = await waits(made)
    assert not waiting.done()
    twin = pb.ModelInferResponse(id="twin")
    twin.parameters["triton_final_response"].bool_param = False
    message = pb.ModelStreamInferResponse(infer_response=twin).SerializeToString()
    made.settle(message)
    made.settle(message)
    await waiting
    made.expect(Message(b"a", 0.0, quiet=True))
    assert (await waits(made)).done()


async def test_a_lost_branch_keeps_nobody_waiting() -> None:
    made = branch(WINDOW)
    waiting = await waits(made)
    made.lost = True
    assert len(list(made.settle_rest())) == WINDOW
    await waiting


async def test_a_message_that_was_not_sent_gives_its_room_back() -> None:
    made = branch(WINDOW - 1)
    message = Message(b"unsent", 0.0, quiet=True)
    made.expect(message)
    waiting = await waits(made)
    made.forget(message)
    await waiting
