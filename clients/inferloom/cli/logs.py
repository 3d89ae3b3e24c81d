"""Logs of the command: those of every role."""

from __future__ import annotations

from inferloom.mesh.telemetry.logs import FORMAT, hold, set_up

__all__ = ["FORMAT", "hold", "set_up"]
