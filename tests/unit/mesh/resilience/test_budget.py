from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from inferloom.mesh.policy import Retrying
from inferloom.mesh.resilience.budget import RetryBudget


def drain(budget: RetryBudget, now: float) -> int:
    spent = 0
    while budget.spend(now):
        spent += 1
    return spent


def test_the_bucket_is_full_at_the_start_so_that_the_calls_of_a_dead_replica_find_another() -> None:
    budget = RetryBudget(Retrying(), 0.0)
    assert drain(budget, 0.0) == 100
    assert repr(budget) == "<RetryBudget 0.0 of 100>"


def test_each_call_earns_a_fifth_of_a_retry() -> None:
    budget = RetryBudget(Retrying(), 0.0)
    drain(budget, 0.0)
    for _ in range(50):
        budget.earn()
    assert drain(budget, 0.0) in (9, 10)  # fractions are floats


def test_the_passing_of_time_earns_the_floor_and_never_more_than_the_bucket_holds() -> None:
    budget = RetryBudget(Retrying(), 0.0)
    drain(budget, 0.0)
    assert drain(budget, 2.0) == 20
    assert drain(budget, 1000.0) == 100
    for _ in range(10_000):
        budget.earn()
    assert budget.tokens == 100


def test_other_settings_give_back_nothing_that_was_spent() -> None:
    budget = RetryBudget(Retrying(), 0.0)
    for _ in range(60):
        assert budget.spend(0.0)
    budget.follow(Retrying(budget_floor=100.0))
    assert budget.tokens == 40
    budget.follow(Retrying(budget_floor=1.0))
    assert budget.tokens == 10
    assert drain(budget, 0.0) == 10


def test_in_a_long_run_of_failures_retries_add_at_most_a_fifth_to_the_traffic() -> None:
    """1,000 calls a second for 100 s, each wants two retries: an overload, which the retries must not multiply."""
    settings_ = Retrying()
    budget = RetryBudget(settings_, 0.0)
    calls = retries = 0
    for number in range(100_000):
        now = number / 1000
        calls += 1
        budget.earn()
        retries += sum(budget.spend(now) for _ in range(2))
    floor = settings_.budget_floor * (100 + settings_.budget_window)
    assert retries <= 0.2 * calls + floor + 1
    assert retries / calls < 0.212


@given(
    st.lists(st.tuples(st.floats(0, 5), st.integers(0, 50), st.integers(0, 50)), max_size=50),
    st.floats(0, 1),
    st.floats(0.2, 50),
)
@settings(max_examples=100, deadline=None)
def test_never_more_is_spent_than_was_there_and_earned(
    steps: list[tuple[float, int, int]], ratio: float, floor: float
) -> None:
    retrying = Retrying(budget_ratio=ratio, budget_floor=floor)
    budget = RetryBudget(retrying, 0.0)
    now, calls, spent = 0.0, 0, 0
    for seconds, earned, wanted in steps:
        now += seconds
        calls += earned
        for _ in range(earned):
            budget.earn()
        spent += sum(budget.spend(now) for _ in range(wanted))
        assert 0 <= budget.tokens <= floor * retrying.budget_window
    assert spent <= floor * retrying.budget_window + ratio * calls + floor * now + 1e-6
