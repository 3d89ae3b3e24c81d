"""The temporary folder of one `up`; those of runs that were killed are removed by the next one."""

from __future__ import annotations

import re
import shutil
import tempfile
from os import getpid
from pathlib import Path

import structlog

from inferloom.cli.state import alive

__all__ = ["run_folder"]

log = structlog.get_logger(__name__)
NAME = re.compile(r"inferloom-up-(\d+)-")


def run_folder() -> Path:
    """A new one. It holds copies of models, so what a killed run has left is worth removing."""
    for left in Path(tempfile.gettempdir()).glob("inferloom-up-*"):
        match = NAME.match(left.name)
        if match and not alive(int(match[1])):
            log.info("removed what a killed run has left", folder=str(left))
            shutil.rmtree(left, ignore_errors=True)  # another user's stays
    return Path(tempfile.mkdtemp(prefix=f"inferloom-up-{getpid()}-"))
