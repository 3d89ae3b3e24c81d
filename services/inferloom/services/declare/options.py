"""Options of declarations, checked where they are written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from inferloom.mesh.errors import ConfigError
from inferloom.mesh.names import is_name

__all__ = ["check_env", "check_name", "check_version", "check_whole", "seconds"]

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m)")


def check_name(name: str, place: str, what: str) -> str:
    if not isinstance(name, str) or not is_name(name):
        raise ConfigError(f"{place}: {name!r} is no name of a {what}: 1 to 128 letters, digits, '.', '_' or '-'")
    return name


def check_version(version: str | int, place: str) -> str:
    text = str(version)
    if not (text.isascii() and text.isdecimal() and int(text) > 0):
        raise ConfigError(f"{place}: version={version!r} must be a whole number from 1, as Triton's versions are")
    return text


def check_whole(name: str, value: Any, least: int, place: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{place}: {name}={value!r} must be a whole number from {least}")
    return value


def check_env(env: Mapping[str, str] | None, place: str) -> dict[str, str]:
    for name, value in (env or {}).items():
        if not isinstance(name, str) or not isinstance(value, str) or not name or "=" in name:
            raise ConfigError(f"{place}: env= maps names of environment variables to texts; got {name!r}: {value!r}")
    return dict(env or {})


def seconds(value: float | str | None, name: str, place: str) -> float | None:
    """Seconds of 0.05, "50ms", "2s" or "1m"; None stays None."""
    if value is None:
        return None
    if isinstance(value, str):
        match = _DURATION.fullmatch(value.strip())
        number = float(match[1]) * _UNITS[match[2]] if match else 0.0
    else:
        number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
    if not 0 < number < 1e9:
        raise ConfigError(f'{place}: {name}={value!r} must be seconds above 0, or a text like "50ms", "2s", "1m"')
    return number
