"""Logs of the roles: structured, one line each, to stderr."""

from __future__ import annotations

import logging
import os
import sys

import structlog

from inferloom.mesh.errors import ConfigError

__all__ = ["FORMAT", "hold", "set_up"]

FORMAT = "INFERLOOM_LOG_FORMAT"

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class _Held:
    """Whether nothing is logged now, and whether the user asked for logs, which are never held back."""

    held = False
    asked = False


_held = _Held()


def hold(held: bool) -> None:
    """Log nothing while it is held, unless the user has named a level: for what will be said in an error anyway."""
    _held.held = held


def _drop_while_held(logger: object, name: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    if _held.held and not _held.asked:
        raise structlog.DropEvent
    return event


class _Forward(logging.Handler):
    """Parts that log through the standard library come out as the others do."""

    def emit(self, record: logging.LogRecord) -> None:
        logger = structlog.get_logger(record.name)
        logger.log(record.levelno, record.getMessage(), exc_info=record.exc_info or None)


def set_up(level: str = "") -> None:
    """JSON lines where stderr is no terminal, readable ones where it is or `$INFERLOOM_LOG_FORMAT` is "text".

    Args:
        level: debug, info, warning or error; "": `$INFERLOOM_LOG`, else warning.

    Raises:
        ConfigError: there is no such level.
    """
    asked = level or os.environ.get("INFERLOOM_LOG") or ""
    name = (asked or "warning").lower()
    _held.asked = bool(asked)
    if name not in LEVELS:
        raise ConfigError(f"log level {name!r} is none of {', '.join(LEVELS)}")
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
            _drop_while_held,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *exceptions,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[name]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    ours = logging.getLogger("inferloom")
    ours.handlers, ours.propagate = [_Forward()], False
    ours.setLevel(LEVELS[name])
