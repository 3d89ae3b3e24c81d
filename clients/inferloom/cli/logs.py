"""Logs of the roles: structured, one line each, to stderr."""

from __future__ import annotations

import logging
import os
import sys

import structlog

from inferloom.mesh.errors import ConfigError

__all__ = ["set_up"]

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def set_up(level: str = "") -> None:
    """JSON lines where stderr is no terminal, readable ones where it is.

    Args:
        level: debug, info, warning or error; "": `$INFERLOOM_LOG`, else warning.

    Raises:
        ConfigError: there is no such level.
    """
    name = (level or os.environ.get("INFERLOOM_LOG") or "warning").lower()
    if name not in LEVELS:
        raise ConfigError(f"log level {name!r} is none of {', '.join(LEVELS)}")
    readable = sys.stderr.isatty()
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if readable else structlog.processors.JSONRenderer()
    )
    exceptions = [] if readable else [structlog.processors.dict_tracebacks]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *exceptions,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[name]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
