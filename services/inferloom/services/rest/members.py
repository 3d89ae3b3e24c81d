"""JSON objects of requests, member by member; whatever is not as it should be is told with its place."""

from __future__ import annotations

from typing import Any

from pydantic_core import from_json

from inferloom.mesh.errors import InvalidInput

__all__ = ["boolean", "listed", "members", "parsed", "sizes", "text"]

INT64 = 2**63 - 1


def parsed(body: bytes) -> dict[str, Any]:
    """The object in a body; empty where there is no body. InvalidInput where it is none."""
    if not body.strip():
        return {}
    try:
        found = from_json(body, cache_strings="keys")
    except ValueError as error:
        raise InvalidInput(f"the body is no JSON: {error}") from None
    return members(found, "the body")


def members(found: Any, place: str) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise InvalidInput(f"{place}: takes an object, got {found!r:.40}")
    return found


def listed(found: Any, place: str) -> list[Any]:
    if not isinstance(found, list):
        raise InvalidInput(f"{place}: takes a list, got {found!r:.40}")
    return found


def text(found: dict[str, Any], key: str, place: str) -> str:
    """A member that must be there and be a string."""
    value = found.get(key)
    if not isinstance(value, str):
        raise InvalidInput(f"{place}.{key}: {'is missing' if value is None else f'takes a string, got {value!r:.40}'}")
    return value


def boolean(value: Any, place: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidInput(f"{place}: takes true or false, got {value!r:.40}")
    return value


def sizes(found: Any, place: str) -> list[int]:
    """A shape: sizes of 0 or more whose product is no more than 2^63 - 1."""
    shape, count = listed(found, place), 1
    for at, size in enumerate(shape):
        if type(size) is not int or size < 0:
            raise InvalidInput(f"{place}[{at}]: takes a size of 0 or more, got {size!r:.40}")
        count *= size
        if count > INT64:
            raise InvalidInput(f"{place}: {shape!r:.80} has too many elements")
    return shape
