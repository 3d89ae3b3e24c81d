"""The part of a stream that goes to one replica for one model, and what it has not answered yet.

A decoupled model answers a message any number of times, and only Triton knows when it is done: it is asked to say so with
an empty final response, which goes no further unless the caller asked for it too. So a message is known to be unfinished
when its replica is lost after some of its answers. A server that says nothing of the kind answers each message once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator

from google.protobuf.message import DecodeError

from inferloom.mesh.oip import pb
from inferloom.mesh.resilience.health import Permit
from inferloom.mesh.router.endpoint import Endpoint
from inferloom.mesh.router.splitting import Turn
from inferloom.mesh.router.transport import StreamCall
from inferloom.mesh.telemetry.tracing_span import Span
from inferloom.mesh.wire import string_field

__all__ = ["Branch", "Message", "ask_final", "is_empty_final"]

ANSWER_ID = (2, 3)  # ModelStreamInferResponse.infer_response.id
ASK_FINAL = "triton_enable_empty_final_response"
ASKING = pb.ModelInferRequest(parameters={ASK_FINAL: pb.InferParameter(bool_param=True)}).SerializeToString()
NOT_FINAL = b"\x0a\x15triton_final_response\x12\x02\x08\x00"  # an entry of an answer's parameters
HEAD = 4096  # bytes of an answer in which its parameters are: they come before its tensors
EMPTY = 1024  # bytes; an empty final response is smaller
# Messages that wait for their first answer. Triton crashes when a stream has very many (its issue 7472; 2.51 with 32 or more
# within 160,000 messages, with 8 and 16 not in 360,000), and a slow replica shall not fill our memory.
WINDOW = 8


def ask_final(request: bytes) -> tuple[bytes, bool]:
    """The request that asks for an empty final response, and whether the caller had not asked for one."""
    if ASK_FINAL.encode() in request:
        try:
            parameters = pb.ModelInferRequest.FromString(request).parameters
        except DecodeError:
            return request, True  # the replica will say what is wrong with it
        if ASK_FINAL in parameters and parameters[ASK_FINAL].bool_param:
            return request, False
    return request + ASKING, True  # a message appended is a message merged


class Message:
    """One that was passed on."""

    __slots__ = ("at", "begun", "id", "quiet", "settled", "span", "turn")

    def __init__(
        self, request_id: bytes, at: float, *, quiet: bool, turn: Turn | None = None, span: Span | None = None
    ) -> None:
        self.begun = False  # its first answer has come
        self.id = request_id
        self.at = at
        self.quiet = quiet  # the caller did not ask for an empty final response
        self.settled = False  # answered to the end, or failed
        self.turn = turn  # where a split sent it
        self.span = span  # of a traced stream


class Branch:
    """A stream to a replica."""

    __slots__ = (
        "_room",
        "_unbegun",
        "_waiting",
        "answered",
        "closing",
        "endpoint",
        "lost",
        "permit",
        "reader",
        "rpc",
        "sequence",
        "span",
    )

    def __init__(self, endpoint: Endpoint, rpc: StreamCall, permit: Permit, span: Span | None = None) -> None:
        self.span = span  # of a traced stream
        self.endpoint = endpoint
        self.rpc = rpc
        self.permit = permit
        self.sequence = False
        self.answered = False
        self.closing = False  # it has been told that no message will follow
        self.lost = False
        self.reader: asyncio.Task[None] | None = None
        self._waiting: dict[bytes, deque[Message]] = {}  # by request id, in the order they were sent
        self._unbegun = 0
        self._room = asyncio.Event()

    @property
    def busy(self) -> bool:
        return bool(self._waiting)

    @property
    def given_up(self) -> bool:
        """Whether a cancellation is the mesh's, of the branch alone, and not that of the task that waits for it."""
        task = asyncio.current_task()
        return self.rpc not in self.endpoint.active and not (task is not None and task.cancelling())

    async def room(self) -> None:
        """Wait until fewer than WINDOW messages wait for their first answer, or the branch is lost."""
        while self._unbegun >= WINDOW and not self.lost:
            self._room.clear()
            await self._room.wait()

    def expect(self, message: Message) -> None:
        self._waiting.setdefault(message.id, deque()).append(message)
        self._unbegun += 1

    def forget(self, message: Message) -> None:
        """It was not sent."""
        self._begin(message)
        self._waiting[message.id].remove(message)
        if not self._waiting[message.id]:
            del self._waiting[message.id]

    def _begin(self, message: Message) -> None:
        if not message.begun:
            message.begun = True
            self._unbegun -= 1
            self._room.set()

    def settle(self, answer: bytes) -> Message | None:
        """The message that this answer is the last of, if any."""
        messages = self._waiting.get(request_id := string_field(answer, ANSWER_ID))
        if not messages:
            return None
        if NOT_FINAL in answer[:HEAD]:
            self._begin(next((message for message in messages if not message.begun), messages[0]))
            return None
        message = messages.popleft()
        self._begin(message)
        message.settled = True
        if not messages:
            del self._waiting[request_id]
        return message

    def settle_rest(self) -> Iterator[Message]:
        """All that have not been answered to the end; after this, none is waited for."""
        waiting, self._waiting = self._waiting, {}
        rest = [message for messages in waiting.values() for message in messages]
        for message in rest:
            self._begin(message)
            message.settled = True
        self._room.set()
        return iter(rest)

    async def close(self) -> None:
        """Tell the replica that no message will follow."""
        self.closing = True
        await self.rpc.done_writing()


def is_empty_final(answer: bytes) -> bool:
    """Whether the answer says nothing but that there will be no more."""
    if len(answer) > EMPTY:
        return False
    parsed = pb.ModelStreamInferResponse.FromString(answer)
    if parsed.error_message or parsed.infer_response.outputs:
        return False
    return bool(parsed.infer_response.parameters["triton_final_response"].bool_param)
