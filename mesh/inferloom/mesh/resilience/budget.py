"""The retry budget: why retries cannot make an overload worse.

A fixed number of tries per call multiplies the load exactly when the replicas can bear it least: with three tries each,
an overloaded model receives three times its traffic, and nothing brings it back. A budget bounds the *ratio*: each call
earns a fraction of a token, each retry spends one, so retries add at most 20 % to the traffic however much fails
(Finagle's RetryBudget; Envoy's retry_budget). A floor earned by time keeps a model with few calls retriable, and fills the
bucket at the start: a replica that dies takes some thirty calls in flight with it, and they must all find another.
"""

from __future__ import annotations

from inferloom.mesh.policy import Retrying

__all__ = ["RetryBudget"]


class RetryBudget:
    """A token bucket. `earn` with each call, `spend` for each retry."""

    __slots__ = ("_at", "_floor", "_most", "_ratio", "_tokens")

    def __init__(self, settings: Retrying, now: float) -> None:
        self._tokens = float("inf")
        self._at = now
        self.follow(settings)

    def follow(self, settings: Retrying) -> None:
        """Go by other settings: what was spent stays spent."""
        self._ratio = settings.budget_ratio
        self._floor = settings.budget_floor
        self._most = settings.budget_floor * settings.budget_window
        self._tokens = min(self._tokens, self._most)

    def __repr__(self) -> str:
        return f"<RetryBudget {self._tokens:.1f} of {self._most:.0f}>"

    @property
    def tokens(self) -> float:
        return self._tokens

    @property
    def most(self) -> float:
        """Of tokens, when it is full."""
        return self._most

    def earn(self) -> None:
        """A new call (not a retry) has come."""
        if self._tokens < self._most:
            self._tokens = min(self._tokens + self._ratio, self._most)

    def spend(self, now: float) -> bool:
        """Whether one more retry may be made now; takes its token."""
        self._tokens = min(self._tokens + (now - self._at) * self._floor, self._most)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
