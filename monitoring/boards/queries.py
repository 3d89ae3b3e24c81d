"""Queries that several dashboards use."""

from __future__ import annotations

__all__ = ["mean", "p99"]


def p99(metric: str, by: str, labels: str) -> str:
    """The 99th percentile of a histogram."""
    return f"histogram_quantile(0.99, sum by ({by}, le) (rate({metric}_bucket{{{labels}}}[1m])))"


def mean(metric: str, by: str, labels: str) -> str:
    """The mean of a histogram; nothing where it has no values."""
    total = f"sum by ({by}) (rate({metric}_sum{{{labels}}}[1m]))"
    return f"{total} / (sum by ({by}) (rate({metric}_count{{{labels}}}[1m])) > 0)"
