"""How well a process knows what the registry says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client.core import Metric

from inferloom.mesh.registry.base import Registry
from inferloom.mesh.telemetry.metrics_series import Durations, gauge, histogram

__all__ = ["registry_metrics"]


def registry_metrics(registry: Registry, lags: Mapping[str, Durations]) -> Iterable[Metric]:
    """Age and lag of what is known.

    Args:
        lags: by kind of document: seconds from its writing, by the writer's clock, until it was in force here.
    """
    catalog = registry.catalog
    yield gauge(
        "inferloom_catalog_age_seconds",
        "Seconds since the registry last confirmed the catalog; Consul does so at least every 30 seconds.",
        (),
        [((), registry.age)],
    )
    yield gauge("inferloom_catalog_fresh", "0 while the registry does not answer.", (), [((), float(catalog.fresh))])
    yield gauge("inferloom_catalog_models", "Models in the catalog.", (), [((), float(len(catalog.models)))])
    yield histogram(
        "inferloom_watch_lag_seconds",
        "From a document's writing, by its writer's clock, until it was in force here.",
        ("kind",),
        (((kind,), lag) for kind, lag in lags.items()),
    )
