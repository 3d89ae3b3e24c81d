"""Triton's own metrics with the replica they belong to, so that they join with the router's by model and replica."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

__all__ = ["triton_metrics"]

PREFIX = "nv_"
MODEL = "model"


def triton_metrics(text: str, replica: str, models: Collection[str]) -> Iterable[Metric]:
    """All of them, under their own names.

    Args:
        text: as Triton gives them.
        models: those of this sidecar; what is of another model is left out.
    """
    for family in text_string_to_metric_families(text):
        if not family.name.startswith(PREFIX):
            continue
        # Triton's counters do not end in "_total": as counters they would be renamed.
        told = Metric(family.name, family.documentation, "unknown")
        for sample in family.samples:
            if sample.labels.get(MODEL, "") in ("", *models):
                name = sample.name if sample.name in text else family.name  # the parser has appended "_total"
                told.add_sample(name, {**sample.labels, "replica": replica}, sample.value)
        if told.samples:
            yield told
