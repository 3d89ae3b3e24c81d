"""Logs of every role: structured, one line each, to stderr, at a level that may be changed while it runs."""

from __future__ import annotations

import logging
import os
import sys

import structlog

from inferloom.mesh.errors import ConfigError

__all__ = ["FORMAT", "LEVELS", "change_level", "hold", "level", "set_up"]

FORMAT = "INFERLOOM_LOG_FORMAT"

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_NUMBERS = {**LEVELS, "critical": logging.CRITICAL, "exception": logging.ERROR, "warn": logging.WARNING}


class _State:
    """What is logged now, and whether the user asked for logs, which are never held back."""

    held = False
    asked = False
    level = logging.WARNING


_state = _State()


def hold(held: bool) -> None:
    """Log nothing while it is held, unless the user has named a level: for what will be said in an error anyway."""
    _state.held = held


def level() -> str:
    """The name of the level in force."""
    return next(name for name, number in LEVELS.items() if number == _state.level)


def change_level(name: str) -> None:
    """Log this level and above from now on.

    Raises:
        ConfigError: there is no such level.
    """
    if name.lower() not in LEVELS:
        raise ConfigError(f"log level {name.lower()[:40]!r} is none of {', '.join(LEVELS)}")
    _state.level = LEVELS[name.lower()]
    logging.getLogger("inferloom").setLevel(_state.level)


def _drop(logger: object, name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Below the level, or held back. Loggers are kept by those who use them, so they cannot be exchanged for others."""
    if _NUMBERS.get(name, logging.CRITICAL) < _state.level or (_state.held and not _state.asked):
        raise structlog.DropEvent
    return event


class _Forward(logging.Handler):
    """Parts that log through the standard library come out as the others do."""

    def emit(self, record: logging.LogRecord) -> None:
        logger = structlog.get_logger(record.name)
        logger.log(record.levelno, record.getMessage(), exc_info=record.exc_info or None)


def set_up(name: str = "") -> None:
    """JSON lines where stderr is no terminal, readable ones where it is or `$INFERLOOM_LOG_FORMAT` is "text".

    Args:
        name: of the level: debug, info, warning or error; "": `$INFERLOOM_LOG`, else warning.

    Raises:
        ConfigError: there is no such level.
    """
    asked = name or os.environ.get("INFERLOOM_LOG") or ""
    change_level(asked or "warning")
    _state.asked = bool(asked)
    terminal = sys.stderr.isatty()
    readable = terminal or os.environ.get(FORMAT) == "text"
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(colors=terminal, pad_event_to=0)
        if readable
        else structlog.processors.JSONRenderer()
    )
    exceptions = [] if readable else [structlog.processors.dict_tracebacks]
    structlog.configure(
        processors=[
            _drop,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *exceptions,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    ours = logging.getLogger("inferloom")
    ours.handlers, ours.propagate = [_Forward()], False
