"""docs/reference/helm.md: the values of the chart, from its schema and its values.yaml."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from reference.helm_schema import Schema
from reference.helm_values import Value, read
from reference.markdown import code, table

__all__ = ["page"]

CHART = Path(__file__).resolve().parent.parent / "helm" / "inferloom"
AGENT = "consul-agent"
HEAD = """\
# Helm values

<!-- given: examples/digits -->
```sh
inferloom export helm examples/digits --image registry.example/digits:1 > values.yaml
```

<!-- needs: cluster -->
```sh
helm install mesh helm/inferloom -f values.yaml --set router.replicas=3
```

The values of the chart `helm/inferloom`, with their types and defaults. A key that is not here is refused with its path,
before anything is installed. [Kubernetes](../kubernetes.md) tells how they are used; `values-laptop.yaml`, `values-gpu.yaml`
and `values-production.yaml` in the chart are three beginnings.
"""
FIRST = "The mesh"  # what stands at the top of the file for itself
COMMON = {  # of keys that mean the same wherever they stand
    "enabled": "whether there is one",
    "replicas": "pods",
    "gpus": "GPUs of each replica",
    "resources": "requests and limits, as Kubernetes has them",
    "requests": "as Kubernetes has them",
    "limits": "as Kubernetes has them",
    "nodeSelector": "as Kubernetes has it",
    "tolerations": "as Kubernetes has them",
    "autoscaling": "who changes the number of replicas",
    "rollout": "as in a Deployment",
    "locality": "`REGION/ZONE` of these replicas",
    "drainTimeoutSeconds": "bound on waiting for what is in flight",
}


def page() -> str:
    schema, agent = Schema(CHART / "values.schema.json"), Schema(CHART / "charts" / AGENT / "values.schema.json")
    values = read(CHART / "values.yaml")
    alone = [value for value in values if not value.inner and not value.above]
    parts = [HEAD, f"\n## {FIRST}\n\n{_table(alone, schema)}"]
    for value in values:
        if value not in alone:
            parts.append(_section(value, schema))
        if value.path == (AGENT,):
            parts.append(_table(read(CHART / "charts" / AGENT / "values.yaml"), agent, AGENT))
    return "".join(parts)


def _section(value: Value, schema: Schema) -> str:
    about = _told(value.above) + (f"{value.beside}\n\n" if value.inner and value.beside else "")
    rows = "" if value.path == (AGENT,) else _table([value], schema)
    return f"\n## {'.'.join(value.path)}\n\n{about}{rows}"


def _table(values: Iterable[Value], schema: Schema, before: str = "") -> str:
    rows = []
    for value in (leaf for each in values for leaf in each.leaves()):
        text = value.beside or ("" if len(value.path) == 1 else " ".join(value.above))
        text = text or COMMON.get(value.path[-1], "") or schema.comment(value.path)
        name = ".".join((before, *value.path) if before else value.path)
        rows.append((code(name), schema.type(value.path), code(value.default), text))
    return table(("value", "type", "default", "meaning"), rows)


def _told(lines: tuple[str, ...]) -> str:
    """Paragraphs of a comment; what is indented is YAML."""
    parts = []
    for blank, group in groupby(lines, key=lambda line: not line.strip()):
        paragraph = [] if blank else list(group)
        if paragraph and all(line.startswith("  ") for line in paragraph):
            width = min(len(line) - len(line.lstrip()) for line in paragraph)
            parts.append("\n".join(["```yaml", *(line[width:] for line in paragraph), "```"]))
        elif paragraph:
            parts.append(" ".join(line.strip() for line in paragraph))
    return "".join(f"{part}\n\n" for part in parts)
