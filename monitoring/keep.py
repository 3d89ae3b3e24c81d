"""python -m monitoring.keep RAW: of everything that was scraped, keep the series that a rule or a dashboard looks at."""

from __future__ import annotations

import gzip
import json
import re
import sys
from pathlib import Path

from monitoring.series import write

__all__ = ["keep", "names_in"]

HERE = Path(__file__).resolve().parent
NAME = re.compile(r"\b((?:inferloom|nv|envoy)_[a-z0-9_]+|up)\b")


def names_in(text: str) -> set[str]:
    """Names of metrics in a rule."""
    return set(NAME.findall(text))


def keep(raw: Path) -> None:
    """Write recordings/NAME.txt for each RAW/NAME.json.gz."""
    wanted = {name for path in (HERE / "rules").glob("*.yaml") for name in names_in(path.read_text())}
    for path in sorted(raw.glob("*.json.gz")):
        with gzip.open(path, "rt") as file:
            found = json.load(file)
        target = HERE / "recordings" / f"{path.name.partition('.')[0]}.txt"
        write(target, found["every"], found["cause"], found["scrapes"], wanted)


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
