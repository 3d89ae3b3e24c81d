"""Answers that come one by one: TypedService.CallStream at one replica."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import grpc
from grpc import StatusCode

from inferloom.mesh.call import Call, Metadata, Outcome, Verdict, verdict
from inferloom.mesh.errors import DeadlineExceeded, ReplicaError
from inferloom.mesh.oip import CALL, TYPED
from inferloom.mesh.router.live_split import aimed
from inferloom.mesh.router.router import Router
from inferloom.mesh.wire import with_string

__all__ = ["CALL_STREAM", "answers"]

CALL_STREAM = f"/{TYPED}/CallStream"
GIVEN_UP = "the mesh gave the replica up"


async def answers(router: Router, call: Call) -> AsyncGenerator[bytes, None]:
    """TypedResponse messages, as they come; never tried twice. A silence longer than the policy's `stream_idle` ends it.

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
        rpc = endpoint.channel.stream(CALL_STREAM, call.metadata)
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
            if turn is not None:
                ending = code.name if code is not None else "CANCELLED"
                router.splitting.count(turn, ending, ended - now)
                router.splitting.expose(turn, "", call.metadata, (), ending, now)
    finally:
        router.admission.give(len(call.payload))


def _pairs(metadata: Any) -> Metadata:
    return tuple(metadata) if metadata else ()
