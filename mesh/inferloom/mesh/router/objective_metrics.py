"""What models have been promised to do, for the alerts that compare it with what they do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client.core import Metric

from inferloom.mesh.policies import Policies, Written
from inferloom.mesh.policy import Objective
from inferloom.mesh.policy_fields import FIELDS
from inferloom.mesh.telemetry.metrics_series import gauge

__all__ = ["objective_metrics", "objectives"]


def objectives(written: Mapping[str, Written]) -> dict[str, Objective]:
    """Those that documents name, by model; also of models that are not in the catalog now."""
    found = {}
    for name, document in written.items():
        values = {
            FIELDS[path].name: value for path, value in document.values.items() if FIELDS[path].part == "objective"
        }
        if values:
            found[name] = Objective(**values)  # type: ignore[arg-type]
    return found


def objective_metrics(policies: Policies) -> Iterable[Metric]:
    """Of every document, as parts of 1 and seconds."""
    known = objectives(policies.written)
    rows = [((name,), each) for name, each in known.items()]
    yield gauge(
        "inferloom_objective_availability_ratio",
        "Part of the requests that shall end without a fault of the mesh or the model.",
        ("model",),
        ((key, round(each.availability / 100, 9)) for key, each in rows if each.availability is not None),
    )
    yield gauge(
        "inferloom_objective_latency_seconds",
        "Time within which answers shall come.",
        ("model",),
        ((key, each.latency) for key, each in rows if each.latency is not None),
    )
    yield gauge(
        "inferloom_objective_latency_ratio",
        "Part of the answers that shall come within that time.",
        ("model",),
        ((key, round(each.within / 100, 9)) for key, each in rows if each.latency is not None),
    )
    yield gauge(
        "inferloom_policy_refused",
        "1 where the newest document of a policy is not in force.",
        ("model",),
        (((name,), 1.0) for name in policies.problems),
    )
