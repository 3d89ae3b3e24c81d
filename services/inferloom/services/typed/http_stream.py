"""Answers that come one by one: TypedService.CallStream, or ModelStreamInfer, at one replica."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import grpc
from grpc import StatusCode

from inferloom.clients.faults import message_error
from inferloom.mesh.call import Call, Metadata, Outcome, Verdict, verdict
from inferloom.mesh.errors import DeadlineExceeded, ReplicaError
from inferloom.mesh.oip import CALL, MODEL_STREAM_INFER, TYPED, pb
from inferloom.mesh.router.live_split import aimed
from inferloom.mesh.router.router import Router
from inferloom.mesh.telemetry.tracing_rpc import asking, sent_with
from inferloom.mesh.telemetry.tracing_span import current
from inferloom.mesh.wire import with_string

__all__ = ["CALL_STREAM", "answers", "model_answers"]

CALL_STREAM = f"/{TYPED}/CallStream"
GIVEN_UP = "the mesh gave the replica up"


async def model_answers(router: Router, call: Call) -> AsyncGenerator[Any, None]:
    """ModelInferResponses of one request to a decoupled model, as they come; as `answers`.

    Raises:
        InferloomError: as `answers`; what the model says is wrong as ReplicaError.
    """
    stream = answers(router, call, MODEL_STREAM_INFER.path)
    try:
        async for payload in stream:
            answer = pb.ModelStreamInferResponse.FromString(payload)
            if answer.error_message:
                raise message_error(answer.error_message)
            if answer.infer_response.outputs:
                yield answer.infer_response
    finally:
        await stream.aclose()


async def answers(router: Router, call: Call, path: str = CALL_STREAM) -> AsyncGenerator[bytes, None]:
    """The messages that answer one, as they come; never tried twice. A silence longer than `stream_idle` ends it.

    Args:
        path: of a streaming method, whose request has the version in field 2.

    Raises:
        InferloomError: the replica's own error as ReplicaError; DeadlineExceeded; NoReplica; ModelNotFound.
    """
    now, clock = router.clock.now(), router.clock
    turn = None if call.version else router.splitting.turn(call.model, call.metadata, None)
    if turn is not None:
        call = aimed(call, turn.arm)
    router.admission.take(len(call.payload))
    try:
        group = router.pool.group(call.model)
        endpoint = group.choose(call, now)
        payload = call.payload
        if not call.version and endpoint.replica.versions:
            payload = with_string(payload, CALL.version_field, endpoint.replica.default_version)
        above = current.get()
        span = None if above is None else asking(above, endpoint.replica, call._replace(method=path))
        rpc = endpoint.channel.stream(path, sent_with(call.metadata, span, endpoint.replica))
        permit = endpoint.health.begin()
        endpoint.load.begin()
        endpoint.active.add(rpc)
        code: StatusCode | None = None
        lost = False
        idle = group.policy.stream_idle

        def left() -> float:
            return min(call.deadline - clock.now(), idle)

        try:
            await asyncio.wait_for(rpc.write(payload), left())
            await asyncio.wait_for(rpc.done_writing(), left())
            received = rpc.__aiter__()
            while True:
                try:
                    message = await asyncio.wait_for(anext(received), left())
                except StopAsyncIteration:
                    code = StatusCode.OK
                    return
                permit.done(Verdict.SUCCESS, clock.now())
                yield message
        except TimeoutError:
            code = StatusCode.DEADLINE_EXCEEDED
            late = clock.now() >= call.deadline
            why = "the deadline passed" if late else f"'{call.model}' was silent for {idle:.0f} s"
            raise DeadlineExceeded(why) from None
        except grpc.aio.AioRpcError as error:
            code, lost = error.code(), error.code() is StatusCode.UNAVAILABLE
            raise ReplicaError(error.code(), error.details() or "", _pairs(error.trailing_metadata())) from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if rpc in endpoint.active or (task is not None and task.cancelling()):
                raise
            code, lost = StatusCode.UNAVAILABLE, True
            raise ReplicaError(code, GIVEN_UP) from None
        finally:
            endpoint.active.discard(rpc)
            rpc.cancel()
            ended = clock.now()
            judged = verdict(Outcome(code, ended - now, lost=lost))
            permit.done(judged, ended)
            endpoint.load.done(judged, ended - now, ended)
            if span is not None:
                span.over(code)
            if turn is not None:
                ending = code.name if code is not None else "CANCELLED"
                router.splitting.count(turn, ending, ended - now)
                router.splitting.expose(turn, "", call.metadata, (), ending, now)
    finally:
        router.admission.give(len(call.payload))


def _pairs(metadata: Any) -> Metadata:
    return tuple(metadata) if metadata else ()
