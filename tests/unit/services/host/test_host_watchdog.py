"""When a loop counts as hung."""

from __future__ import annotations

import threading

from inferloom.services.host.watchdog import Beat, Watchdog, stack_of


def test_so_many_looks_without_a_tick_are_a_hang() -> None:
    beat = Beat(3)
    assert [beat.look(ticks) for ticks in (1, 1, 1, 1)] == [False, False, False, True]


def test_one_tick_in_between_begins_the_count_anew() -> None:
    beat = Beat(3)
    assert [beat.look(ticks) for ticks in (1, 1, 1, 2, 2, 2, 2)] == [False] * 6 + [True]


def test_a_pause_of_the_whole_process_is_one_missed_look() -> None:
    beat = Beat(3)
    assert not any(beat.look(ticks) for ticks in (5, 5, 6, 6, 7))


async def test_a_watchdog_without_a_time_starts_no_thread() -> None:
    before = threading.active_count()
    dog = Watchdog(0.0, lambda status: None)
    dog.start()
    assert threading.active_count() == before
    dog.stop()


def test_the_stack_of_a_thread_names_where_it_is() -> None:
    assert "test_the_stack_of_a_thread_names_where_it_is" in stack_of(threading.get_ident())
    assert stack_of(-1) == ""
