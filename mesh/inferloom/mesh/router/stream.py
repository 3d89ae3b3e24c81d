"""ModelStreamInfer: one stream of the caller's, one stream to a replica for each model in it.

A stream keeps each of its models on one replica. An error of one message is that message's `error_message`, and the stream
lives, as Triton does it. A replica that is lost fails the messages it has not answered; the next message finds another.
"""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from grpc import StatusCode

from inferloom.mesh.call import Call, Metadata, Outcome, Verdict, verdict
from inferloom.mesh.errors import InferloomError, InvalidInput, ReplicaError
from inferloom.mesh.names import check_name
from inferloom.mesh.oip import MODEL_STREAM_INFER, pb
from inferloom.mesh.resilience.health import Permit
from inferloom.mesh.router.endpoint import Endpoint
from inferloom.mesh.router.metadata import forwarded
from inferloom.mesh.router.router import Router
from inferloom.mesh.router.transport import StreamCall
from inferloom.mesh.telemetry.metrics import UNKNOWN_MODEL
from inferloom.mesh.wire import find_target, string_field, with_string

__all__ = ["StreamFace"]

REQUEST_ID = (3,)  # ModelInferRequest.id
ANSWER_ID = (2, 3)  # ModelStreamInferResponse.infer_response.id


class StreamFace:
    """Serves the caller's side of every stream."""

    def __init__(self, router: Router) -> None:
        self._router = router

    async def serve(self, requests: Any, context: Any) -> None:
        metadata = forwarded(context.invocation_metadata())
        remaining = context.time_remaining()
        loop = asyncio.get_running_loop()
        idle = self._router.policy("").stream_idle
        if remaining is not None:
            idle = min(idle, remaining)
        try:
            async with asyncio.timeout(idle) as guard:

                def active() -> None:
                    if remaining is None:
                        guard.reschedule(loop.time() + idle)

                stream = _Stream(self._router, context, metadata, active)
                try:
                    async for request in requests:
                        active()
                        await stream.send(request)
                    await stream.finish()
                finally:
                    await stream.close()
        except TimeoutError:
            await context.abort(StatusCode.DEADLINE_EXCEEDED, f"the stream was silent for {idle:.0f} s")


class _Branch:
    """The part of a stream that goes to one replica for one model."""

    __slots__ = ("answered", "endpoint", "lost", "permit", "reader", "rpc", "sequence", "waiting")

    def __init__(self, endpoint: Endpoint, rpc: StreamCall, permit: Permit) -> None:
        self.endpoint = endpoint
        self.rpc = rpc
        self.permit = permit
        self.waiting: dict[bytes, list[float]] = {}  # request id -> when each was sent
        self.sequence = False
        self.answered = False
        self.lost = False
        self.reader: asyncio.Task[None] | None = None


class _Stream:
    def __init__(self, router: Router, context: Any, metadata: Metadata, active: Any) -> None:
        self._router = router
        self._context = context
        self._metadata = metadata
        self._active = active
        self._branches: dict[str, _Branch] = {}
        self._all: set[_Branch] = set()
        self._writing = asyncio.Lock()

    async def send(self, request: bytes) -> None:
        """Pass one message on; what is wrong with it is answered in the stream."""
        model, began = UNKNOWN_MODEL, self._router.clock.now()
        try:
            target = find_target(request, MODEL_STREAM_INFER.name_field, MODEL_STREAM_INFER.version_field, infer=True)
            if not target.model:
                raise InvalidInput("the message names no model")
            check_name(target.model)
            if target.model in self._router.pool.groups:
                model = target.model
            call = Call(target.model, target.version, MODEL_STREAM_INFER.path, b"", (), began + 3600.0, target.sequence)
            request_id = string_field(request, REQUEST_ID)
            await self._pass_on(call, request, request_id)
        except InferloomError as error:
            self._router.metrics.finished(model, "", error.code, self._router.clock.now() - began)
            await self._fail(_id_of(request), model, str(error))

    async def _pass_on(self, call: Call, request: bytes, request_id: bytes) -> None:
        attempts = self._router.policy(call.model).retry.attempts
        for _ in range(attempts):
            branch = await self._branch(call)
            branch.sequence |= call.affinity is not None
            versions = branch.endpoint.replica.versions
            if not call.version and len(versions) > 1:
                field = MODEL_STREAM_INFER.version_field
                request = with_string(request, field, branch.endpoint.replica.default_version)
            branch.waiting.setdefault(request_id, []).append(self._router.clock.now())
            try:
                await branch.rpc.write(request)
                return
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError, grpc.aio.UsageError):
                # Its reader sees why, and fails what it had not answered; this message was not sent and finds another.
                if request_id in branch.waiting:
                    branch.waiting[request_id].pop()
                    if not branch.waiting[request_id]:
                        del branch.waiting[request_id]
                branch.lost = True
        raise ReplicaError(StatusCode.UNAVAILABLE, f"no replica of '{call.model}' keeps a stream open")

    async def _branch(self, call: Call) -> _Branch:
        branch = self._branches.get(call.model)
        if branch is not None and not branch.lost:
            settled = not branch.waiting and not branch.sequence
            if branch.endpoint.replica.usable or not settled:
                return branch
            await branch.rpc.done_writing()  # it drains: its answers may still come, new messages go elsewhere
        group = self._router.pool.group(call.model)
        now = self._router.clock.now()
        endpoint = group.choose(call, now, () if branch is None else (branch.endpoint,))
        rpc = endpoint.channel.stream(MODEL_STREAM_INFER.path, self._metadata)
        endpoint.load.begin()
        branch = _Branch(endpoint, rpc, endpoint.health.begin())
        endpoint.active.add(rpc)
        branch.reader = asyncio.create_task(self._read(call.model, branch), name=f"stream {call.model}")
        self._branches[call.model] = branch
        self._all.add(branch)
        return branch

    async def _read(self, model: str, branch: _Branch) -> None:
        """Pass the replica's answers back until its stream ends."""
        router = self._router
        code, message = StatusCode.UNAVAILABLE, "the replica ended the stream"
        lost = True
        try:
            async for answer in branch.rpc:
                self._active()
                if not branch.answered:
                    branch.answered = True
                    branch.permit.done(Verdict.SUCCESS, router.clock.now())
                sent = branch.waiting.get(request_id := string_field(answer, ANSWER_ID))
                if sent:
                    router.metrics.finished(model, "", StatusCode.OK, router.clock.now() - sent.pop(0))
                    if not sent:
                        del branch.waiting[request_id]
                await self._write(answer)
            lost = bool(branch.waiting)
        except grpc.aio.AioRpcError as error:
            code, message = error.code(), error.details() or message
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if branch.rpc in branch.endpoint.active or (task is not None and task.cancelling()):
                lost = False
                raise
            message = "the mesh gave the replica up"
        finally:
            branch.lost = True
            branch.endpoint.active.discard(branch.rpc)
            now = router.clock.now()
            judged = verdict(Outcome(code, 0.0, lost=lost)) if lost else Verdict.IGNORED
            branch.permit.done(judged, now)
            branch.endpoint.load.done(judged, 0.0, now)
        for request_id, times in branch.waiting.items():
            for sent_at in times:
                router.metrics.finished(model, "", code, now - sent_at)
                await self._fail(request_id, model, f"{message} (replica {branch.endpoint.replica.id} of '{model}')")
        branch.waiting.clear()

    async def finish(self) -> None:
        """The caller has sent its last message: let the replicas answer theirs."""
        for branch in self._all:
            if not branch.lost:
                await branch.rpc.done_writing()
        await asyncio.gather(*(branch.reader for branch in self._all if branch.reader is not None))

    async def close(self) -> None:
        """End what is left, down to the replicas."""
        readers = [branch.reader for branch in self._all if branch.reader is not None and not branch.reader.done()]
        for branch in self._all:
            if branch.reader in readers:
                branch.rpc.cancel()
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)

    async def _write(self, answer: bytes) -> None:
        async with self._writing:  # grpc.aio takes one write at a time
            await self._context.write(answer)

    async def _fail(self, request_id: bytes, model: str, message: str) -> None:
        answer = pb.ModelStreamInferResponse(error_message=message)
        answer.infer_response.id = request_id.decode(errors="replace")
        answer.infer_response.model_name = "" if model == UNKNOWN_MODEL else model
        await self._write(answer.SerializeToString())


def _id_of(request: bytes) -> bytes:
    try:
        return string_field(request, REQUEST_ID)
    except InvalidInput:
        return b""
