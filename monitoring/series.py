"""Scraped series, and the notation in which promtool's tests take them.

A recording is a text file: a line "every SECONDS, cause at SECONDS", then a line for each series: its name and labels, a tab,
and its values as promtool reads them: `1+0x59` is sixty times 1, `_x3` is three scrapes in which it was not there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

__all__ = ["Recording", "notation", "read", "scraped", "write"]

HEAD = re.compile(r"every (\d+) s, cause at (\d+) s")


class Recording(NamedTuple):
    """What a Prometheus would have scraped."""

    every: int  # seconds between scrapes
    cause: int  # seconds from the first scrape until something was broken; 0: nothing was
    series: Mapping[str, str]  # name and labels: values in promtool's notation


def scraped(text: str, instance: str, role: str) -> dict[str, float]:
    """The samples of one answer of /metrics, by name and labels as Prometheus would have them."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = {**sample.labels, "job": "inferloom", "instance": instance}
            if sample.name == "inferloom_info":
                labels["role"] = role
            found[_key(sample.name, labels)] = float(sample.value)
    return found


def up(instance: str) -> str:
    """The series by which Prometheus says whether it could scrape."""
    return _key("up", {"job": "inferloom", "instance": instance})


def _key(name: str, labels: Mapping[str, str]) -> str:
    return name + "{" + ",".join(f'{key}="{_escaped(labels[key])}"' for key in sorted(labels)) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def notation(values: Sequence[float | None]) -> str:
    """Values as promtool writes them, runs of equal steps as one."""
    parts: list[str] = []
    at = 0
    while at < len(values):
        value = values[at]
        end = at + 1
        if value is None:
            while end < len(values) and values[end] is None:
                end += 1
            parts.append("_" if end - at == 1 else f"_x{end - at}")
        else:
            step = 0.0
            if end < len(values) and (following := values[end]) is not None:
                step = following - value
                while end < len(values) and _continues(values, end, value, step, at):
                    end += 1
            parts.append(_number(value) if end - at == 1 else _run(value, step, end - at - 1))
        at = end
    return " ".join(parts)


def _continues(values: Sequence[float | None], place: int, first: float, step: float, at: int) -> bool:
    """Whole numbers alone: sums of others would drift."""
    value = values[place]
    if value is None or (step and not (first.is_integer() and step.is_integer())):
        return False
    return value == first + step * (place - at)


def _run(value: float, step: float, count: int) -> str:
    sign = "-" if step < 0 else "+"
    return f"{_number(value)}{sign}{_number(abs(step))}x{count}"


def _number(value: float) -> str:
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.9g}"


def write(path: Path, every: int, cause: int, scrapes: Sequence[Mapping[str, float]], names: Iterable[str]) -> None:
    """Keep the series of these names."""
    wanted = set(names)
    keys = sorted({key for scrape in scrapes for key in scrape if key.partition("{")[0] in wanted})
    lines = [f"every {every} s, cause at {cause} s"]
    lines += [f"{key}\t{notation([scrape.get(key) for scrape in scrapes])}" for key in keys]
    path.write_text("\n".join(lines) + "\n")


def read(path: Path) -> Recording:
    """A recording.

    Raises:
        ValueError: the file is none.
    """
    head, *lines = path.read_text().splitlines()
    found = HEAD.fullmatch(head)
    if found is None:
        raise ValueError(f"{path}: its first line is no head of a recording")
    return Recording(int(found[1]), int(found[2]), dict(line.split("\t") for line in lines))
