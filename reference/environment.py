"""docs/reference/environment.md: the variables that the code reads, found in its syntax; their meaning is written here."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from reference.environment_table import GROUPS
from reference.markdown import Undescribed, code, table

__all__ = ["page", "read_by_the_code"]

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("mesh", "services", "sidecar", "clients")
# Names are often constants that are looked up elsewhere, so these count wherever they stand as a text of their own.
OURS = re.compile(r"(INFERLOOM|OTEL|CONSUL|XDG|ENVOY|CUDA|GRPC)_[A-Z0-9_]+")
SET = frozenset({"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "PATH"})  # looked at, and nothing of inferloom's
HEAD = """\
# Environment variables

```sh
INFERLOOM_LOG=debug inferloom models --help
```

What inferloom reads from the environment. An option of a [command](commands.md) wins over its variable. Variables that
libraries read for themselves, as `HTTPS_PROXY` of pip or the rest of `OTEL_EXPORTER_OTLP_*`
(headers, certificates, time-out) of OpenTelemetry, are theirs to describe.
"""


def page() -> str:
    """Raises Undescribed: the code reads one that has no row, or a row is of none that it reads."""
    listed = {name for rows in GROUPS.values() for name in rows}
    found = set(read_by_the_code())
    if missing := found - listed:
        raise Undescribed(f"{', '.join(sorted(missing))} has no row in reference/environment_table.py")
    if gone := listed - found:
        raise Undescribed(f"the code does not read {', '.join(sorted(gone))}")
    return HEAD + "".join(f"\n## {group}\n\n{_table(rows)}" for group, rows in GROUPS.items())


def _table(rows: Mapping[str, tuple[str, str]]) -> str:
    return table(
        ("variable", "default", "meaning"), [(code(name), default, text) for name, (default, text) in rows.items()]
    )


@cache
def read_by_the_code() -> Mapping[str, str]:
    """Each variable and a file, relative to the repository, that names it."""
    found: dict[str, str] = {}
    for path in (path for source in SOURCES for path in sorted((ROOT / source).rglob("*.py"))):
        if "_pb2" not in path.name:
            for name in _names(ast.parse(path.read_text())):
                found.setdefault(name, str(path.relative_to(ROOT)))
    return found


def _names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and OURS.fullmatch(node.value):
            yield node.value
        yield from (name for name in _asked(node) if name not in SET)


def _asked(node: ast.AST) -> Iterator[str]:
    """The literal in `os.environ[...]`, `environ.get(...)`, `os.getenv(...)`."""
    asked: ast.expr | None = None
    if isinstance(node, ast.Subscript) and _is_environment(node.value):
        asked = node.slice
    elif (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and (node.func.attr == "getenv" or _is_environment(node.func.value))
    ):
        asked = node.args[0] if node.args else None
    if isinstance(asked, ast.Constant) and isinstance(asked.value, str):
        yield asked.value


def _is_environment(node: ast.expr) -> bool:
    return (isinstance(node, ast.Name) and node.id == "environ") or (
        isinstance(node, ast.Attribute) and node.attr == "environ"
    )
