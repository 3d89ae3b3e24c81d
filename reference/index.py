"""docs/reference/index.md: what the reference has."""

from __future__ import annotations

__all__ = ["page"]

TEXT = """\
# Reference

<!-- tested: tests/unit/reference/test_pages.py -->
```sh
make reference
```

makes these pages anew from the code; a test fails where they differ from it.

| page | has |
|---|---|
| [Commands](commands.md) | every command with its arguments, options, defaults and variables; exit status |
| [Documents](documents.md) | every kind of document with its fields |
| [Python](python.md) | what `inferloom.sdk` exports |
| [Protocol](protocol.md) | the calls and messages of `inferloom.v1` |
| [Environment variables](environment.md) | what the code reads from the environment |
| [Helm values](helm.md) | the values of the chart |
| [Metrics](../metrics.md) | every metric, rule and alert |
| [Data planes](../data-planes.md) | what the router and Envoy make of each field of a policy |
| [Mistakes](../mistakes.md) | what is said to wrong input, and the cure |
"""


def page() -> str:
    return TEXT
