"""python -m bench.telemetry.uncounted ARGUMENTS...: the command `inferloom`, with nothing counted for its metrics.

What remains are two additions of the time spent in a layer, which stand in the path itself.
"""

from __future__ import annotations

from typing import Any

from inferloom.cli.entry import main, settle


def nothing(*values: Any) -> None:
    """Count nothing."""


if __name__ == "__main__":
    settle()  # before grpc is imported, as the command does
    from inferloom.mesh.telemetry.metrics import RouterMetrics
    from inferloom.mesh.telemetry.metrics_series import Codes, Durations

    Durations.add = Codes.add = RouterMetrics.finished = nothing  # type: ignore[method-assign,assignment]
    main()
