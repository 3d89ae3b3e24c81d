"""Where inferloom keeps what it has fetched: one folder per user, shared between projects."""

from __future__ import annotations

import fcntl
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from inferloom.mesh.clock import Clock
from inferloom.mesh.errors import ConfigError

__all__ = ["cache_folder", "locked"]


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """`$INFERLOOM_CACHE`, else `$XDG_CACHE_HOME/inferloom`, else `~/.cache/inferloom`. It may not exist yet."""
    if own := environ.get("INFERLOOM_CACHE"):
        return Path(own).expanduser().absolute()
    if xdg := environ.get("XDG_CACHE_HOME"):
        return Path(xdg).expanduser().absolute() / "inferloom"
    return Path.home() / ".cache" / "inferloom"


@asynccontextmanager
async def locked(path: Path, clock: Clock, waiting: Callable[[], None] = lambda: None) -> AsyncIterator[None]:
    """Hold the lock file `path`; the kernel gives it back however this process ends.

    Args:
        waiting: called once where somebody else holds it.

    Raises:
        ConfigError: the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise ConfigError(
            f"cannot write {path}: {error.strerror}; set INFERLOOM_CACHE to a folder that can be"
        ) from error
    try:
        told = False
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not told:
                    waiting()
                    told = True
                await clock.sleep(0.2)
        yield
    finally:
        os.close(fd)
