"""The breaker under any order of events, against the few sentences that must always hold."""

from __future__ import annotations

import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from inferloom.mesh.call import Verdict
from inferloom.mesh.policy import Breaking
from inferloom.mesh.resilience.health import BreakerState, Permit, ReplicaHealth

verdicts = st.sampled_from(list(Verdict))
ejecting = st.sampled_from([Verdict.FAILURE, Verdict.RETRYABLE])


class BreakerMachine(RuleBasedStateMachine):
    permits: Bundle[tuple[Permit, int, bool]] = Bundle("permits")
    done: Bundle[Permit] = Bundle("done")

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.peers_carry = True
        self.told = 0
        self.health = ReplicaHealth(
            Breaking(consecutive=3, rate_requests=6, window=4.0),
            random.Random(0),
            may_open=lambda: self.peers_carry,
            changed=self._changed,
        )
        self.probing: set[int] = set()  # generations with a probing request under way

    def _changed(self) -> None:
        self.told += 1

    @rule(seconds=st.sampled_from([0.0, 0.1, 1.0, 5.0, 30.0, 100.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(carry=st.booleans())
    def peers_change(self, carry: bool) -> None:
        self.peers_carry = carry

    @rule(target=permits)
    def ask_and_begin(self) -> tuple[Permit, int, bool]:
        before, until, reachable = self.health.state, self.health.open_until, self.health.reachable
        admitted = self.health.admits(self.now)
        if before is BreakerState.OPEN and (self.now < until or not reachable):
            assert not admitted, "open was admitted before its time"
        if before is BreakerState.CLOSED:
            assert admitted
        if not admitted:
            return Permit(self.health, -1, False), -1, False
        permit, generation = self.health.begin(), self.health.generation
        if permit.probe:
            assert generation not in self.probing, "two probing requests at once"
            self.probing.add(generation)
            assert not self.health.admits(self.now)
        return permit, generation, permit.probe

    @rule(target=permits)
    def begin_as_a_last_resort(self) -> tuple[Permit, int, bool]:
        generation, admitted = self.health.generation, self.health.state is BreakerState.CLOSED
        permit = self.health.begin()
        if permit.probe:
            assert generation not in self.probing, "two probing requests at once"
            self.probing.add(generation)
        else:
            assert admitted or generation in self.probing or self.health.state is BreakerState.OPEN
        return permit, generation, permit.probe

    @rule(target=done, taken=consumes(permits), verdict=verdicts)
    def answer(self, taken: tuple[Permit, int, bool], verdict: Verdict) -> Permit:
        permit, generation, probe = taken
        before, current, until = self.health.state, self.health.generation, self.health.open_until
        counted = self._counts()
        permit.done(verdict, self.now)
        if probe:
            self.probing.discard(generation)
        if generation != current:
            assert (self.health.state, self.health.generation) == (before, current), "an old answer changed something"
            assert self._counts() == counted
        elif verdict in (Verdict.IGNORED, Verdict.SHED):
            assert (self.health.state, self.health.generation) == (before, current), (
                "it said nothing, and did something"
            )
            assert self._counts() == counted
        elif before is BreakerState.OPEN:
            healed = verdict is Verdict.SUCCESS
            assert self.health.state is (BreakerState.CLOSED if healed else BreakerState.OPEN)
            assert healed or self.health.open_until == until, "a failed last resort made it longer"
        elif before is BreakerState.HALF_OPEN and verdict is Verdict.SUCCESS:
            assert self.health.state is BreakerState.CLOSED
        elif before is BreakerState.HALF_OPEN:
            assert self.health.state is BreakerState.OPEN
            assert self.now < self.health.open_until
        elif verdict is Verdict.SUCCESS or not self.peers_carry:
            assert self.health.state is before
        return permit

    @rule(permit=done, verdict=verdicts)
    def answer_again(self, permit: Permit, verdict: Verdict) -> None:
        before = (self.health.state, self.health.generation, self.told, *self._counts())
        permit.done(verdict, self.now)
        assert (self.health.state, self.health.generation, self.told, *self._counts()) == before

    @rule()
    def connection_is_refused(self) -> None:
        self.health.refuse("gone")
        assert self.health.state is BreakerState.OPEN
        assert not self.health.admits(self.now + 1e9)

    @rule()
    def connection_is_back(self) -> None:
        was_refused = not self.health.reachable
        self.health.reach(self.now)
        assert self.health.reachable
        if was_refused:
            assert self.health.state is BreakerState.HALF_OPEN
            assert self.health.admits(self.now)

    @rule(verdict=ejecting)
    def a_burst_fails(self, verdict: Verdict) -> None:
        before = self.health.state
        if before is not BreakerState.CLOSED:
            return
        for _ in range(10):
            self.health.begin().done(verdict, self.now)
        assert self._state() is (BreakerState.OPEN if self.peers_carry else BreakerState.CLOSED)

    @invariant()
    def refused_is_open_until_it_is_reached(self) -> None:
        if not self.health.reachable:
            assert self.health.state is BreakerState.OPEN
            assert self.health.open_until == float("inf")

    @invariant()
    def open_ends(self) -> None:
        if self.health.state is BreakerState.OPEN and self.health.reachable:
            assert self.health.open_until <= self.now + Breaking().longest

    def _state(self) -> BreakerState:
        return self.health.state

    def _counts(self) -> tuple[int, ...]:
        health = self.health
        return (health._failures, health._window_ok, health._window_bad)


BreakerMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestBreaker = BreakerMachine.TestCase
