"""What an explainer keeps, as the messages of `inferloom.v1.ExplainService`."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.json_format import ParseDict
from google.protobuf.json_format import ParseError as JsonError

from inferloom.mesh.explain.explainer import Explainer
from inferloom.mesh.explain.recent import Told
from inferloom.v1 import explain_pb2 as pb

__all__ = ["explanation", "model_figures"]


def explanation(told: Told) -> pb.Explanation:
    """What a replica told is in it: unknown fields are left out, and what does not fit is no explanation at all."""
    try:
        return ParseDict(told, pb.Explanation(), ignore_unknown_fields=True)
    except JsonError:
        own = {key: value for key, value in told.items() if key not in ("inside", "steps")}
        return ParseDict(own, pb.Explanation(), ignore_unknown_fields=True)


def model_figures(explainer: Explainer, now: float) -> Iterator[pb.ModelFigures]:
    """Of each model that has had requests. `now`: on the explainer's clock."""
    for name, pace in explainer.paces.items():
        pace.refresh(now)
        yield pb.ModelFigures(
            name=name,
            requests=pace.count,
            failed=pace.failed,
            p50_ms=1e3 * pace.quantile(0.5),
            p99_ms=1e3 * pace.quantile(0.99),
            in_flight=pace.in_flight,
        )
