"""Retries, as Envoy's router filter makes them."""

from __future__ import annotations

from envoy_data_plane.envoy.config.route.v3 import (
    HeaderMatcher,
    RetryPolicy,
    RetryPolicyRetryBackOff,
    RetryPolicyRetryHostPredicate,
    RetryPolicyRetryPriority,
)
from envoy_data_plane.envoy.extensions.retry.host.previous_hosts.v3 import PreviousHostsPredicate
from envoy_data_plane.envoy.extensions.retry.priority.previous_priorities.v3 import PreviousPrioritiesConfig

from inferloom.mesh.errors import REASON_KEY
from inferloom.mesh.policy import Locality, TrafficPolicy
from inferloom.mesh.xds.messages import duration, header_is, packed

__all__ = ["again", "unbegun"]

# It is certain that nobody saw the request: refused connections, streams that the server never took, requests not written.
UNBEGUN = "connect-failure,refused-stream,reset-before-request"
# It may have begun: the connection broke, or no answer came within `attempt_timeout`.
BROKEN = "reset"
CODES = "unavailable,cancelled"  # gRPC: the second is what a server says that is stopped in the middle
SHED = "retriable-headers"  # turned away, not begun: x-inferloom-reason says "shed"
STATUS = "retriable-status-codes"
ELSEWHERE = 50  # draws of another replica than those that failed: one in its slow start is drawn one time in ten
GROWTH = 10  # the longest wait, in first ones


def again(policy: TrafficPolicy, *, rest: bool) -> RetryPolicy | None:
    """Of unary requests; None where each is tried once."""
    if not policy.idempotent:
        return unbegun(policy)
    kinds = [UNBEGUN, BROKEN, SHED, STATUS if rest else CODES]
    return _policy(policy, kinds, shed=True, statuses=[503] if rest else [])


def unbegun(policy: TrafficPolicy) -> RetryPolicy | None:
    """Of requests that may be repeated only while nobody has seen them: streams among them."""
    return _policy(policy, [UNBEGUN], shed=False, statuses=[])


def _policy(policy: TrafficPolicy, kinds: list[str], *, shed: bool, statuses: list[int]) -> RetryPolicy | None:
    retry = policy.retry
    if retry.attempts == 1:
        return None
    reasons: list[HeaderMatcher] = [header_is(REASON_KEY, "shed")] if shed else []
    priority = None
    if policy.locality is Locality.PREFER:  # where the own zone has failed once, the others are asked
        config = packed(PreviousPrioritiesConfig(update_frequency=1))
        priority = RetryPolicyRetryPriority(name="envoy.retry_priorities.previous_priorities", typed_config=config)
    return RetryPolicy(
        retry_priority=priority,
        retry_on=",".join(kinds),
        num_retries=retry.attempts - 1,
        retriable_headers=reasons,
        retriable_status_codes=statuses,
        retry_host_predicate=[
            RetryPolicyRetryHostPredicate(
                name="envoy.retry_host_predicates.previous_hosts", typed_config=packed(PreviousHostsPredicate())
            )
        ],
        host_selection_retry_max_attempts=ELSEWHERE,
        # Envoy draws from 0 up to this before the first retry, and up to its double, fourfold, ... before the next.
        retry_back_off=RetryPolicyRetryBackOff(
            base_interval=duration(retry.backoff), max_interval=duration(GROWTH * retry.backoff)
        ),
    )
