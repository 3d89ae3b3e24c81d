"""How loaded a replica is, as the requests themselves tell: peak EWMA (Finagle's load metric).

The average follows a slower answer at once and a faster one slowly (decay 10 s), so a replica that stalls is avoided from
its first late answer on. A failure counts as an answer of 5 s: otherwise a replica that fails fast looks fast and
swallows the traffic (the black hole). The first failure after a success is only averaged in: one poisoned request shall not
starve a replica for half a minute, and a black hole betrays itself with its second.
"""

from __future__ import annotations

from math import exp

from inferloom.mesh.call import Verdict

__all__ = ["ReplicaLoad"]

DECAY = 10.0  # seconds
FAILURE_SECONDS = 5.0
TYPICAL = 0.1  # weight of the newest answer in the typical time
SLOW_START = 30.0  # seconds until a new replica has its full share, where no policy says otherwise
SLOW_START_SHARE = 0.1  # of its weight at the start
UNMEASURED = 3600.0  # seconds: cost of each request beyond the first to a replica that has not yet answered one


class ReplicaLoad:
    """Requests in flight and the moving average of the latency of one replica of one model."""

    __slots__ = (
        "_failing",
        "_seconds",
        "_stamp",
        "began",
        "credit",
        "failures",
        "in_flight",
        "requests",
        "slow_start",
        "typical",
    )

    def __init__(self, began: float, slow_start: float = SLOW_START) -> None:
        self.began = began  # when it joined, for the slow start; -inf: it was there before
        self.slow_start = slow_start  # seconds until it has its full share
        self.credit = 0.0  # towards its next turn, where replicas take turns
        self.in_flight = 0
        self.requests = 0
        self.failures = 0
        self.typical = 0.0  # seconds an answer usually takes, failures left out; 0 where there was none
        self._seconds = 0.0
        self._failing = False
        self._stamp = began

    def __repr__(self) -> str:
        return f"<ReplicaLoad in_flight={self.in_flight} latency={self._seconds * 1e3:.2f}ms requests={self.requests}>"

    @property
    def seconds(self) -> float:
        """The moving average as it was at the last answer; 0 where there was none."""
        return self._seconds

    def cost(self, now: float, weight: float) -> float:
        """What one more request to it costs, in seconds: to compare replicas by, smaller is better."""
        waiting = self.in_flight
        seconds = self._seconds
        if seconds == 0.0:
            # Never answered: one request finds out, the second waits for that.
            return waiting * UNMEASURED / weight
        idle = now - self._stamp
        if idle > 0.1:
            seconds *= exp(-idle / DECAY)
        age = now - self.began
        if age < self.slow_start:
            weight *= SLOW_START_SHARE + (1 - SLOW_START_SHARE) * age / self.slow_start
        return seconds * (waiting + 1) / weight

    def share(self, now: float, weight: float) -> float:
        """Its weight, less while it starts slowly."""
        age = now - self.began
        if age < self.slow_start:
            weight *= SLOW_START_SHARE + (1 - SLOW_START_SHARE) * age / self.slow_start
        return weight

    def begin(self) -> None:
        self.in_flight += 1

    def restart(self, now: float) -> None:
        """Its breaker has closed: what the failures did to the average is forgotten, and it starts slowly as a new one."""
        self._seconds = 0.0
        self._failing = False
        self.began = now

    def done(self, verdict: Verdict, seconds: float, now: float) -> None:
        """An answer took `seconds`."""
        self.in_flight -= 1
        self.requests += 1
        peak = True
        if verdict is Verdict.FAILURE or verdict is Verdict.RETRYABLE:
            self.failures += 1
            seconds = max(seconds, FAILURE_SECONDS)
            peak, self._failing = self._failing, True
        elif verdict is Verdict.SUCCESS:
            self._failing = False
            self.typical = self.typical + TYPICAL * (seconds - self.typical) if self.typical else seconds
        else:
            return
        before = self._seconds
        if seconds >= before and peak:
            self._seconds = seconds
        else:
            keep = exp((self._stamp - now) / DECAY)
            self._seconds = before * keep + seconds * (1 - keep)
        self._stamp = now
