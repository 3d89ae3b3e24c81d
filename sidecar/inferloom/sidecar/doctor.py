"""Whether the managed Triton works on this machine: for `inferloom doctor`."""

from __future__ import annotations

import os
from collections.abc import Mapping

from inferloom.mesh.errors import ConfigError
from inferloom.sidecar import managed
from inferloom.sidecar.interpreter import choose
from inferloom.sidecar.machine import Check, machine_checks

__all__ = ["triton_checks"]


async def triton_checks(environ: Mapping[str, str] = os.environ) -> list[Check]:
    """(what, whether it is well, finding or cure), each in one line. Starts no server."""
    try:
        checks = await managed.find(environ=environ).checks()
    except ConfigError as missing:
        checks = machine_checks(managed.runtime_folder(environ))
        try:
            python = await choose()
        except ConfigError as error:
            checks.append(("libpython", False, str(error)))
        else:
            checks.append(("libpython", True, f"Python {python.version}, {python.libdir}"))
        checks.append(("Triton", False, str(missing)))
    return checks
