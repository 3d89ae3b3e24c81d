"""ModelStreamInfer and TypedService.CallStream: answers that come one by one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from functools import partial
from typing import Any

import structlog
from google.protobuf.message import DecodeError
from grpc import StatusCode

from inferloom.mesh.call import Metadata
from inferloom.mesh.clock import Clock
from inferloom.mesh.errors import InferloomError, InvalidInput, status_of
from inferloom.mesh.oip import MODEL_STREAM_INFER, TYPED, pb
from inferloom.mesh.router.face import abort
from inferloom.mesh.router.metadata import forwarded
from inferloom.mesh.telemetry.tracing import Tracing
from inferloom.mesh.telemetry.tracing_span import Span, child
from inferloom.services.answerer import Answerer
from inferloom.services.context import CallContext
from inferloom.services.host.fault import from_outside
from inferloom.services.host.table import Table
from inferloom.services.host.tally import Tally
from inferloom.services.host.traced import below, name_it
from inferloom.v1 import typed_pb2

__all__ = ["StreamFace"]

log = structlog.get_logger(__name__)

FINAL = "triton_final_response"
CALL_STREAM = f"/{TYPED}/CallStream"
ASKS_FINAL = "triton_enable_empty_final_response"
WINDOW = 64  # messages of one stream that are worked on at once
LONGEST = 3600.0  # seconds for one message's answers where the caller's stream has no deadline


class StreamFace:
    """Serves streams over a table of Answerers."""

    def __init__(self, table: Table, tally: Tally, clock: Clock, tracing: Tracing | None = None) -> None:
        self._table = table
        self._tally = tally
        self._clock = clock
        self._tracing = tracing or Tracing()
        self.busy = 0  # messages that have not been answered to the end

    async def infer(self, requests: Any, context: Any) -> None:
        """Messages with different ids are answered side by side, those with the same id one after the other.

        What is wrong with a message is its answer's `error_message`; the stream lives, as Triton does it.
        """
        metadata = forwarded(context.invocation_metadata())
        with self._tracing.server(MODEL_STREAM_INFER.path, metadata) as span:
            await self._infer(requests, context, metadata, span)

    async def _infer(self, requests: Any, context: Any, metadata: Metadata, span: Span | None) -> None:
        room, writing = asyncio.Semaphore(WINDOW), asyncio.Lock()
        last: dict[str, asyncio.Task[None]] = {}
        try:
            async with asyncio.TaskGroup() as group:
                async for payload in requests:
                    await room.acquire()
                    request, problem = _parsed(payload)
                    call = CallContext(self._deadline(context), metadata)
                    answering = self._message(request, problem, call, context, writing, last.get(request.id))
                    task = last[request.id] = group.create_task(answering)
                    task.add_done_callback(partial(_leave, last, request.id, room))
            if span is not None:
                span.answered()
        except* _CallerGone as gone:
            if span is not None:
                span.fail(asyncio.CancelledError())
            log.debug("a stream's caller went away", messages=len(gone.exceptions))

    async def call(self, payload: bytes, context: Any) -> None:
        """TypedService.CallStream: one request, any number of JSON answers."""
        metadata = forwarded(context.invocation_metadata())
        self.busy += 1
        try:
            with self._tracing.server(CALL_STREAM, metadata) as span:
                await self._call(payload, context, below(CallContext(self._deadline(context), metadata), span))
                if span is not None:
                    span.answered()
        except asyncio.CancelledError:
            raise
        except Exception as error:
            await abort(context, error, CALL_STREAM)
        finally:
            self.busy -= 1

    async def _call(self, payload: bytes, context: Any, call: CallContext) -> None:
        try:
            request = typed_pb2.TypedRequest.FromString(payload)
        except DecodeError:
            raise InvalidInput("the request is no inferloom.v1.TypedRequest: its bytes do not parse") from None
        answerer = self._table.find(request.model_name, request.model_version)
        async for answer in self._counted(answerer, answerer.stream_json(request.json, call), "", call):
            await context.write(typed_pb2.TypedResponse(json=answer).SerializeToString())

    async def answers(self, request: Any, call: CallContext) -> AsyncGenerator[Any, None]:
        """ModelInferResponses for one message; one where the model answers once. Raises InferloomError."""
        answerer = self._table.find(request.model_name, request.model_version)
        streams = answerer.signature.streams
        answers = answerer.stream(request, call) if streams else _once(answerer, request, call)
        async with aclosing(self._counted(answerer, answers, request.id, call)) as counted:
            async for answer in counted:
                yield answer

    def _deadline(self, context: Any) -> float:
        remaining = context.time_remaining()
        return self._clock.now() + (LONGEST if remaining is None else min(remaining, LONGEST))

    async def _message(
        self,
        request: Any,
        problem: str,
        call: CallContext,
        context: Any,
        writing: asyncio.Lock,
        before: asyncio.Task[None] | None,
    ) -> None:
        async def write(answer: Any) -> None:
            async with writing:
                try:
                    await context.write(answer.SerializeToString())
                except Exception as error:  # grpc.aio has several, for a call that has ended
                    raise _CallerGone from error

        self.busy += 1
        try:
            if before is not None:
                await asyncio.wait({before})
            if problem:
                raise InvalidInput(problem)
            answerer = self._table.find(request.model_name, request.model_version)
            streams = answerer.signature.streams
            with child(f"message {answerer.name}", attributes={"inferloom.request_id": request.id}) as span:
                async for answer in self.answers(request, below(call, span)):
                    answer.parameters[FINAL].bool_param = not streams
                    await write(pb.ModelStreamInferResponse(infer_response=answer))
            if streams and request.parameters[ASKS_FINAL].bool_param:
                end = pb.ModelInferResponse(model_name=answerer.name, model_version=answerer.version, id=request.id)
                end.parameters[FINAL].bool_param = True
                await write(pb.ModelStreamInferResponse(infer_response=end))
        except InferloomError as error:
            failed = pb.ModelInferResponse(model_name=request.model_name, id=request.id)
            await write(pb.ModelStreamInferResponse(error_message=status_of(error).message, infer_response=failed))
        finally:
            self.busy -= 1

    async def _counted(
        self, answerer: Answerer, answers: AsyncIterator[Any], request_id: str, call: CallContext
    ) -> AsyncGenerator[Any, None]:
        began = self._clock.now()
        code: StatusCode | None = None
        name_it(answerer)
        try:
            async with aclosing(answers) as closing:  # type: ignore[type-var]
                async for answer in closing:
                    yield answer
            code = StatusCode.OK
        except Exception as error:
            told = from_outside(error, answerer.name, request_id, call.metadata)
            code = told.code
            raise told from error
        finally:
            seconds = self._clock.now() - began
            self._tally.add(answerer.name, answerer.version, seconds, self._clock.wall(), code)


class _CallerGone(Exception):
    """The caller's side of the stream takes no more answers."""


async def _once(answerer: Answerer, request: Any, call: CallContext) -> AsyncIterator[Any]:
    yield await answerer.infer(request, call)


def _parsed(payload: bytes) -> tuple[Any, str]:
    try:
        return pb.ModelInferRequest.FromString(payload), ""
    except DecodeError:
        return pb.ModelInferRequest(), "the message is no inference.ModelInferRequest: its bytes do not parse"


def _leave(last: dict[str, asyncio.Task[None]], key: str, room: asyncio.Semaphore, done: asyncio.Task[None]) -> None:
    room.release()
    if last.get(key) is done:
        del last[key]
