"""One attempt at one replica: the innermost layers."""

from __future__ import annotations

from grpc import StatusCode

from inferloom.mesh.call import Call, Metadata, Outcome, Reply, Verdict, verdict
from inferloom.mesh.clock import Clock
from inferloom.mesh.errors import INNER_KEY, PUSHBACK_KEY, DeadlineExceeded, Exhausted, InferloomError, ReplicaError
from inferloom.mesh.explain.story import current_story
from inferloom.mesh.oip import METHODS
from inferloom.mesh.policy import TrafficPolicy
from inferloom.mesh.router.endpoint import Endpoint
from inferloom.mesh.router.transport import Lost
from inferloom.mesh.wire import with_string

__all__ = ["Attempt", "attempt_once", "margin"]

LATE = 0.9  # a cancellation after this share of an attempt's time counts as "at least this slow"
SHED_MESSAGE = "Exceeds maximum queue size"  # Triton's words, under UNAVAILABLE
EXPIRED_MESSAGE = "Request timeout expired"  # the same
OUT_OF_TIME = ("Deadline Exceeded", "Stream removed (Deadline Exceeded)")  # C-core's
SHED_PUSHBACK = 0.05  # seconds
OK = StatusCode.OK
ANSWERED = verdict(Outcome(OK, 0.0))  # asked once: nearly every attempt ends so


def margin(remaining: float) -> float:
    """Seconds kept back from a deadline, so that the answer still arrives in time: 10 ms or 5 %, whichever is less."""
    return min(0.010, 0.05 * remaining)


class Attempt:
    """How one attempt failed: the error for the caller, and what it means for the next attempt."""

    __slots__ = ("endpoint", "error", "pushback", "sent", "verdict")

    def __init__(self, endpoint: Endpoint, error: InferloomError, judged: Verdict, sent: bool) -> None:
        self.endpoint = endpoint
        self.error = error
        self.verdict = judged
        self.sent = sent
        self.pushback = _pushback(error)


async def attempt_once(
    endpoint: Endpoint, call: Call, policy: TrafficPolicy, clock: Clock, metadata: Metadata
) -> Reply | Attempt:
    """Send the call to this replica once, and tell its health and load how that went.

    Returns:
        The reply, or the failed attempt for the retry layer to judge.
    """
    began = clock.now()
    timeout = call.deadline - began
    timeout -= margin(timeout)
    left = timeout
    if policy.attempt_timeout is not None and policy.attempt_timeout < timeout:
        timeout = policy.attempt_timeout
    if timeout <= 0:
        raise DeadlineExceeded(f"the deadline passed before '{call.model}' could be asked")
    payload = call.payload
    replica = endpoint.replica
    if not call.version and replica.versions:
        # Triton would take the newest, as soon as it is loaded and before anybody knows: then adding a version would move
        # all of its traffic.
        payload = with_string(payload, METHODS[call.method].version_field, replica.default_version)
    load, permit = endpoint.load, endpoint.health.begin()
    load.begin()
    code: StatusCode | None = None
    lost = shed = False
    error: InferloomError | None = None
    reply: Reply | None = None
    sent = True
    try:
        reply = await endpoint.channel.send(call.method, payload, timeout, metadata, endpoint.active)
        code = OK
        return reply
    except Lost as exception:
        code, error, lost, sent = exception.code, exception, True, exception.sent
        # The news of a new connection may have come before that of this failure: nothing would take the refusal back.
        if not exception.sent and not endpoint.channel.connected:
            endpoint.health.refuse(f"no connection to {replica.address}")
    except ReplicaError as exception:
        error, shed = _translate(exception, call.model, timeout)
        shed = shed and (policy.idempotent or all(key != INNER_KEY for key, _ in exception.trailing))
        code = error.code
    finally:
        now = clock.now()
        seconds = now - began
        judged = ANSWERED
        if code is not OK:
            # Triton's own time-out of its queue, translated, is not the replica's fault.
            slow = code is None or (code is StatusCode.DEADLINE_EXCEEDED and type(error) is ReplicaError)
            late = slow and seconds >= LATE * timeout
            lost = lost or (late and timeout < left and code is not None)  # given up in time for another replica
            late = late and seconds >= 2 * load.typical  # not for callers whose deadlines are shorter than its answers
            judged = verdict(Outcome(code, seconds, late, lost, shed))
        permit.done(judged, now)
        if permit.probe and judged is Verdict.SUCCESS:
            load.restart(now)
        load.done(judged, seconds, now)
        endpoint.attempts.add(code, seconds)
        if (story := current_story.get()) is not None:
            story.attempted(endpoint, call, code, error, began, now, reply)
    assert error is not None
    return Attempt(endpoint, error, judged, sent)


def _translate(error: ReplicaError, model: str, timeout: float) -> tuple[InferloomError, bool]:
    """Triton's two misleading codes put right, and gRPC's own words about the deadline; everything else unchanged."""
    if error.code is StatusCode.UNAVAILABLE:
        message = str(error)
        if SHED_MESSAGE in message:
            return Exhausted(message, reason="shed", pushback=SHED_PUSHBACK), True
        if EXPIRED_MESSAGE in message:
            return DeadlineExceeded(message), False
    if error.code is StatusCode.DEADLINE_EXCEEDED and str(error) in OUT_OF_TIME:
        return ReplicaError(error.code, f"no answer from '{model}' within {timeout:.3g} s"), False
    return error, error.code is StatusCode.RESOURCE_EXHAUSTED and _pushback(error) is not None


def _pushback(error: InferloomError) -> float | None:
    """Seconds the replica asks to wait before the next attempt; negative: it wants none."""
    if isinstance(error, Exhausted):
        return error.pushback
    if isinstance(error, ReplicaError):
        for key, value in error.trailing:
            if key == PUSHBACK_KEY:
                try:
                    return float(value) / 1000
                except ValueError:
                    return -1.0
    return None
