"""Resources: opened once, shared, checked, closed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from inferloom.mesh.errors import ConfigError, InferloomError
from inferloom.services.declare.resource import Resource, resource


class Pool:
    def __init__(self) -> None:
        self.log = ["opened"]
        self.works = True


def unreachable() -> Pool:
    raise ConnectionError("no database at 127.0.0.1:5432")


def forms() -> dict[str, Any]:
    async def asynchronous() -> AsyncIterator[Pool]:
        pool = Pool()
        yield pool
        pool.log.append("closed")

    def plain() -> Iterator[Pool]:
        pool = Pool()
        yield pool
        pool.log.append("closed")

    async def awaited() -> Any:
        return contextmanager(plain)()

    return {
        "an async generator": asynchronous,
        "a generator": plain,
        "an async context manager": asynccontextmanager(asynchronous),
        "a context manager": contextmanager(plain),
        "a coroutine that gives one": awaited,
    }


@pytest.mark.parametrize("form", forms())
async def test_every_form_is_opened_once_and_closed_once(form: str) -> None:
    db: Resource[Pool] = resource(forms()[form])
    await db.open()
    pool = db.value
    await db.open()
    assert db.value is pool
    assert db.dependency() is pool
    assert pool.log == ["opened"]
    await db.close()
    await db.close()
    assert pool.log == ["opened", "closed"]
    assert not db.is_open


def test_before_it_is_open_it_says_who_opens_it() -> None:
    @resource
    def db() -> Iterator[Pool]:
        yield Pool()

    with pytest.raises(InferloomError, match=r"resource 'db' \(.*test_resource.py:\d+\) is not open: a host opens it"):
        _ = db.value


def test_a_test_puts_a_value_of_its_own_in_its_place() -> None:
    @resource
    def db() -> Iterator[str]:
        yield pytest.fail("it must not be opened")

    with db.replaced("mine"):
        assert db.value == "mine"
        with db.replaced("inner"):
            assert db.value == "inner"
        assert db.value == "mine"
    assert not db.is_open


async def test_a_replaced_one_is_not_opened() -> None:
    opened = []

    @resource
    def db() -> Iterator[str]:
        opened.append(1)
        yield "real"

    with db.replaced("mine"):
        await db.open()
        assert db.value == "mine"
        await db.close()
        assert db.value == "mine"
    assert opened == []


async def test_its_check_raises_or_returns_false() -> None:
    def alive(pool: Pool) -> bool:
        return pool.works

    @resource(check=alive)
    def db() -> Iterator[Pool]:
        yield Pool()

    await db.check()  # not open: nothing to look at
    await db.open()
    await db.check()
    db.value.works = False
    with pytest.raises(InferloomError, match=r"resource 'db' .* failed its check"):
        await db.check()
    await db.close()


async def test_a_check_may_be_async_and_its_error_comes_through() -> None:
    async def alive(pool: Pool) -> None:
        raise ConnectionError("the database is gone")

    def opens() -> Iterator[Pool]:
        yield Pool()

    db = resource(opens, check=alive)
    await db.open()
    with pytest.raises(ConnectionError, match="the database is gone"):
        await db.check()
    await db.close()


async def test_one_that_does_not_open_leaves_nothing_open() -> None:
    @resource
    async def db() -> AsyncIterator[Pool]:
        yield unreachable()

    with pytest.raises(ConnectionError, match="no database"):
        await db.open()
    assert not db.is_open
    await db.close()


async def test_a_function_that_gives_no_context_manager_is_refused() -> None:
    wrong: Any = lambda: 3  # noqa: E731
    with pytest.raises(
        ConfigError, match=r"test_resource.py:\d+: a resource is a generator function .* returned a int"
    ):
        await resource(wrong).open()
    with pytest.raises(ConfigError, match="takes a function that opens it, not a int"):
        resource(wrong())
