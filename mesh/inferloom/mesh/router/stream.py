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
from inferloom.mesh.errors import DeadlineExceeded, InferloomError, InvalidInput, ReplicaError
from inferloom.mesh.names import check_name
from inferloom.mesh.oip import MODEL_STREAM_INFER, pb
from inferloom.mesh.router.branch import Branch, Message, ask_final, is_empty_final
from inferloom.mesh.router.live_split import aimed
from inferloom.mesh.router.metadata import forwarded
from inferloom.mesh.router.router import Router
from inferloom.mesh.router.splitting import Turn
from inferloom.mesh.telemetry.metrics import UNKNOWN_MODEL
from inferloom.mesh.telemetry.tracing_rpc import asking, sent_with
from inferloom.mesh.telemetry.tracing_span import Span, current
from inferloom.mesh.wire import find_target, string_field, with_string

__all__ = ["StreamFace"]

REQUEST_ID = (3,)  # ModelInferRequest.id
LONG = 3600.0  # seconds: a message has no deadline of its own
GIVEN_UP = "the mesh gave the replica up"
ERROR_MESSAGE = b"\x0a"  # how an answer with one begins: tag of ModelStreamInferResponse.error_message


class StreamFace:
    """Serves the caller's side of every stream."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._open: set[_Stream] = set()

    @property
    def busy(self) -> bool:
        """Whether a message of some stream has not been answered to the end."""
        return any(branch.busy for stream in self._open for branch in stream.branches)

    async def serve(self, requests: Any, context: Any) -> None:
        metadata = forwarded(context.invocation_metadata())
        with self._router.tracing.server(MODEL_STREAM_INFER.path, metadata) as span:
            await self._serve(requests, context, metadata, span)

    async def _serve(self, requests: Any, context: Any, metadata: Metadata, span: Span | None) -> None:
        remaining = context.time_remaining()
        loop = asyncio.get_running_loop()
        deadline = float("inf") if remaining is None else loop.time() + remaining
        try:
            async with asyncio.timeout(None) as guard:

                def active() -> None:
                    if not guard.expired():
                        guard.reschedule(min(loop.time() + stream.idle, deadline))

                stream = _Stream(self._router, context, metadata, active)
                active()
                self._open.add(stream)
                try:
                    async for request in requests:
                        active()
                        await stream.send(request)
                        active()  # of its model
                    await stream.finish()
                    if span is not None:
                        span.answered()
                finally:
                    self._open.discard(stream)
                    await stream.close()
        except _CallerGone as gone:
            if span is not None:
                span.fail(asyncio.CancelledError(gone))
        except TimeoutError:
            late = loop.time() >= deadline
            why = "the stream's deadline passed" if late else f"the stream was silent for {stream.idle:.0f} s"
            if span is not None:
                span.fail(DeadlineExceeded(why))
            await context.abort(StatusCode.DEADLINE_EXCEEDED, why)


class _CallerGone(Exception):
    """The caller's side of the stream takes no more answers."""


class _Stream:
    def __init__(self, router: Router, context: Any, metadata: Metadata, active: Any) -> None:
        self._router = router
        self._context = context
        self._metadata = metadata
        self._active = active
        self._branches: dict[str, Branch] = {}
        self._turns: dict[str, Turn] = {}  # by model: one arm for the whole stream
        self.branches: set[Branch] = set()
        self._writing = asyncio.Lock()

    @property
    def idle(self) -> float:
        """Seconds it may be silent: the most that one of its models may."""
        return max(self._router.policy(name).stream_idle for name in self._branches or ("",))

    async def send(self, request: bytes) -> None:
        """Pass one message on; what is wrong with it is answered in the stream."""
        model, began = UNKNOWN_MODEL, self._router.clock.now()
        turn: Turn | None = None
        span: Span | None = None
        try:
            target = find_target(request, MODEL_STREAM_INFER.name_field, MODEL_STREAM_INFER.version_field, infer=True)
            if not target.model:
                raise InvalidInput("the message names no model")
            check_name(target.model)
            if target.model in self._router.pool.groups:
                model = target.model
            call = Call(target.model, target.version, MODEL_STREAM_INFER.path, b"", (), began + LONG, target.sequence)
            request_id = string_field(request, REQUEST_ID)
            turn = self._turn(call, request_id)
            span = self._message_span(call, request_id, turn)
            if turn is not None:
                aim = aimed(call._replace(payload=request), turn.arm)
                call, request = aim._replace(payload=b""), aim.payload
            self._router.admission.take(len(request))
            try:
                await self._pass_on(call, request, request_id, turn, span)
            finally:
                self._router.admission.give(len(request))
        except InferloomError as error:
            self._finished(model, error.code, began, turn)
            self._told(error, began, model)
            if span is not None:
                span.fail(error)
                span.end()
            await self._fail(_id_of(request), model, str(error))

    def _message_span(self, call: Call, request_id: bytes, turn: Turn | None) -> Span | None:
        """One message of a traced stream, until its last answer."""
        above = current.get()
        if above is None:
            return None
        span = above.child(f"message {call.model}")
        span.set(model=call.model, request_id=request_id.decode(errors="replace"))
        if turn is not None:
            span.set(arm=turn.arm.name)
        return span

    async def _pass_on(
        self, call: Call, request: bytes, request_id: bytes, turn: Turn | None, span: Span | None
    ) -> None:
        attempts = self._router.policy(call.model).retry.attempts
        request, quiet = ask_final(request)
        for number in range(attempts):
            branch = await self._branch(call)
            await branch.room()
            budget = self._router.pool.group(call.model).budget
            if number == 0:
                budget.earn()
            elif budget.spend(self._router.clock.now()):
                self._router.metrics.retried(call.model)
            else:
                break
            branch.sequence |= call.affinity is not None
            versions = branch.endpoint.replica.versions
            if not call.version and versions:
                field = MODEL_STREAM_INFER.version_field
                request = with_string(request, field, branch.endpoint.replica.default_version)
            message = Message(request_id, self._router.clock.now(), quiet=quiet, turn=turn, span=span)
            if span is not None:
                span.set(attempt=number + 1, replica=branch.endpoint.replica.id)
            branch.expect(message)
            try:
                await branch.rpc.write(request)
                return
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError, grpc.aio.UsageError):
                pass
            except asyncio.CancelledError:
                if not branch.given_up:
                    raise
            # Its reader sees why, and fails what it had not answered; this message was not sent and finds another.
            branch.lost = True
            if message.settled:
                return  # the reader was first
            branch.forget(message)
            if call.affinity is not None:
                break  # the sequence's earlier messages are lost with it
        raise ReplicaError(StatusCode.UNAVAILABLE, f"no replica of '{call.model}' keeps a stream open")

    def _turn(self, call: Call, request_id: bytes) -> Turn | None:
        """Where a split sends a message that names no version."""
        splitting = self._router.splitting
        if call.version or call.model not in splitting.splits:
            return None
        known = self._turns.get(call.model)
        if known is not None and splitting.serves(known.live.split, known.arm):
            return known
        turn = splitting.turn(call.model, self._metadata, call.affinity)
        if turn is not None:
            self._turns[call.model] = turn
            splitting.expose(
                turn, request_id.decode(errors="replace"), self._metadata, (), "STREAM", call.deadline - LONG
            )
        return turn

    def _finished(self, model: str, code: StatusCode, began: float, turn: Turn | None) -> None:
        seconds = self._router.clock.now() - began
        self._router.metrics.finished(model, "", code, seconds)
        if turn is not None:
            self._router.splitting.count(turn, code.name, seconds)

    async def _branch(self, call: Call) -> Branch:
        branch = self._branches.get(call.model)
        if branch is not None and not branch.lost:
            if branch.endpoint.replica.usable or branch.sequence:
                return branch
            # It drains: what it has is answered, and new messages go elsewhere; after that, so that answers keep their order.
            await branch.close()
            if branch.busy and branch.reader is not None:
                await asyncio.wait({branch.reader})
        group = self._router.pool.group(call.model)
        now = self._router.clock.now()
        endpoint = group.choose(call, now, () if branch is None else (branch.endpoint,))
        above = current.get()
        span = None if above is None else asking(above, endpoint.replica, call)
        rpc = endpoint.channel.stream(MODEL_STREAM_INFER.path, sent_with(self._metadata, span, endpoint.replica))
        endpoint.load.begin()
        branch = Branch(endpoint, rpc, endpoint.health.begin(), span)
        endpoint.active.add(rpc)
        branch.reader = asyncio.create_task(self._read(call.model, branch), name=f"stream {call.model}")
        self._branches[call.model] = branch
        self.branches.add(branch)
        return branch

    async def _read(self, model: str, branch: Branch) -> None:
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
                settled = branch.settle(answer)
                if settled is not None:
                    self._finished(model, StatusCode.OK, settled.at, settled.turn)
                    _answered(settled.span, answer)
                    if settled.quiet and is_empty_final(answer):
                        continue
                await self._write(answer)
            lost = branch.busy and not branch.closing
        except _CallerGone:
            lost = False
            branch.rpc.cancel()
        except grpc.aio.AioRpcError as error:
            if branch.given_up:
                message = GIVEN_UP
            else:
                code, message = error.code(), error.details() or message
        except asyncio.CancelledError:
            if not branch.given_up:
                lost = False
                raise
            message = GIVEN_UP
        finally:
            branch.lost = True
            branch.endpoint.active.discard(branch.rpc)
            now = router.clock.now()
            judged = verdict(Outcome(code, 0.0, lost=lost)) if lost else Verdict.IGNORED
            branch.permit.done(judged, now)
            branch.endpoint.load.done(judged, 0.0, now)
            failure = ReplicaError(code, message) if lost else None
            _end(branch.span, failure, ended=branch.closing)
        for unanswered in branch.settle_rest():
            _end(unanswered.span, failure)
            if lost:
                self._finished(model, code, unanswered.at, unanswered.turn)
                lost_by = ReplicaError(code, f"{message} (replica {branch.endpoint.replica.id} of '{model}')")
                lost_by.replica = branch.endpoint.replica.id
                self._told(lost_by, unanswered.at, model)
                await self._fail(unanswered.id, model, str(lost_by))

    async def finish(self) -> None:
        """The caller has sent its last message: let the replicas answer theirs."""
        for branch in self.branches:
            if not branch.lost:
                await branch.close()
        await asyncio.gather(*(branch.reader for branch in self.branches if branch.reader is not None))

    async def close(self) -> None:
        """End what is left, down to the replicas."""
        readers = [branch.reader for branch in self.branches if branch.reader is not None and not branch.reader.done()]
        for branch in self.branches:
            if branch.reader in readers:
                branch.rpc.cancel()
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)

    async def _write(self, answer: bytes) -> None:
        async with self._writing:  # grpc.aio takes one write at a time
            try:
                await self._context.write(answer)
            except Exception as error:
                raise _CallerGone from error

    def _told(self, error: InferloomError, began: float, model: str) -> None:
        path = MODEL_STREAM_INFER.path
        self._router.failures.raised(error, began, model=model, method=path, metadata=self._metadata)

    async def _fail(self, request_id: bytes, model: str, message: str) -> None:
        answer = pb.ModelStreamInferResponse(error_message=message)
        answer.infer_response.id = request_id.decode(errors="replace")
        answer.infer_response.model_name = "" if model == UNKNOWN_MODEL else model
        await self._write(answer.SerializeToString())


def _answered(span: Span | None, answer: bytes) -> None:
    """A message's last answer has come; an error of it is told in the answer."""
    if span is None:
        return
    if answer[:1] == ERROR_MESSAGE and (told := pb.ModelStreamInferResponse.FromString(answer).error_message):
        span.fail(ReplicaError(StatusCode.UNKNOWN, told))
    span.end()


def _end(span: Span | None, error: InferloomError | None, *, ended: bool = False) -> None:
    """What was under way is over: with an error, as it should, or because the caller went away."""
    if span is None:
        return
    if error is not None:
        span.fail(error)
    elif ended:
        span.answered()
    else:
        span.fail(asyncio.CancelledError())
    span.end()


def _id_of(request: bytes) -> bytes:
    try:
        return string_field(request, REQUEST_ID)
    except InvalidInput:
        return b""
