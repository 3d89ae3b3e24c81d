"""One request to a model that streams, and its answers: one try at one replica."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import grpc
from grpc import StatusCode

from inferloom.clients.faults import message_error
from inferloom.clients.result import InferResult
from inferloom.mesh.call import Call, Metadata, Outcome, Verdict, verdict
from inferloom.mesh.errors import DeadlineExceeded, ReplicaError
from inferloom.mesh.oip import MODEL_STREAM_INFER, pb
from inferloom.mesh.router.branch import ask_final, is_empty_final
from inferloom.mesh.router.endpoint import Endpoint
from inferloom.mesh.router.router import Router
from inferloom.mesh.telemetry.tracing_rpc import asking, sent_with
from inferloom.mesh.telemetry.tracing_span import Span, current, detached
from inferloom.mesh.wire import with_string

__all__ = ["StreamAttempt"]


class StreamAttempt:
    """Tells the replica's health and load how it went, as the router's own streams do.

    Args:
        call: its payload is a ModelInferRequest.

    Attributes:
        repeatable: whether another replica may be tried, after this one has failed.
    """

    def __init__(self, router: Router, call: Call, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.repeatable = True
        self._clock = router.clock
        self._idempotent = router.policy(call.model).idempotent
        self._call = call

    def answers(self) -> AsyncGenerator[InferResult]:
        """Until the replica has ended the stream. Closing the generator cancels the request.

        Raises:
            ReplicaError: the replica's own, or UNAVAILABLE where it was lost.
            DeadlineExceeded: the call's deadline passed.
        """
        above = current.get()
        return self._answers(self._call.metadata) if above is None else self._traced(above)

    async def _traced(self, above: Span) -> AsyncGenerator[InferResult]:
        """The answers, with a span from the first to the last."""
        replica = self.endpoint.replica
        with detached(asking(above, replica, self._call)) as span:
            async with aclosing(self._answers(sent_with(self._call.metadata, span, replica))) as answers:
                async for answer in answers:
                    yield answer
            span.answered()

    async def _answers(self, metadata: Metadata) -> AsyncGenerator[InferResult]:
        endpoint = self.endpoint
        permit = endpoint.health.begin()
        endpoint.load.begin()
        rpc: Any = endpoint.channel.stream(MODEL_STREAM_INFER.path, metadata)
        endpoint.active.add(rpc)
        judged = Verdict.IGNORED
        try:
            await self._within(rpc.write(self._payload()))
            self.repeatable = self._idempotent
            await self._within(rpc.done_writing())
            while (raw := await self._within(rpc.read())) is not grpc.aio.EOF:  # type: ignore[attr-defined]
                judged, self.repeatable = Verdict.SUCCESS, False
                message = pb.ModelStreamInferResponse.FromString(raw)
                if message.error_message:
                    raise message_error(message.error_message)
                if not is_empty_final(raw):
                    yield InferResult(message.infer_response)
            if judged is not Verdict.SUCCESS:
                raise ReplicaError(StatusCode.UNAVAILABLE, "the replica ended the stream without an answer")
        except grpc.aio.AioRpcError as error:
            judged = verdict(Outcome(error.code(), 0.0, lost=error.code() is StatusCode.UNAVAILABLE))
            raise ReplicaError(error.code(), error.details() or error.code().name) from None
        except asyncio.InvalidStateError:  # it broke before the request was written
            judged = verdict(Outcome(StatusCode.UNAVAILABLE, 0.0, lost=True))
            raise ReplicaError(StatusCode.UNAVAILABLE, "the connection broke") from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if rpc in endpoint.active or (task is not None and task.cancelling()):
                raise
            judged = verdict(Outcome(StatusCode.UNAVAILABLE, 0.0, lost=True))
            raise ReplicaError(StatusCode.UNAVAILABLE, "the mesh gave the replica up") from None
        finally:
            endpoint.active.discard(rpc)
            rpc.cancel()
            now = self._clock.now()
            permit.done(judged, now)
            endpoint.load.done(judged, 0.0, now)

    def _payload(self) -> bytes:
        """It asks for a final answer, and for the version that any call would get: adding one moves no traffic."""
        payload, _ = ask_final(self._call.payload)
        replica = self.endpoint.replica
        if not self._call.version and replica.versions:
            payload = with_string(payload, MODEL_STREAM_INFER.version_field, replica.default_version)
        return payload

    async def _within(self, work: Any) -> Any:
        try:
            async with asyncio.timeout(max(self._call.deadline - self._clock.now(), 0)):
                return await work
        except TimeoutError:
            raise DeadlineExceeded(f"'{self._call.model}' did not end its answers in time") from None
