"""docs/reference/python.md: what `inferloom.sdk` exports, from signatures and docstrings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from inferloom import sdk
from inferloom.mesh import errors
from reference.docstrings import Object, block, described_class, public, rendered
from reference.markdown import Undescribed

__all__ = ["GROUPS", "page"]

HEAD = """\
# Python

```python
from inferloom.sdk import MeshClient

help(MeshClient.infer)
```

Import from `inferloom.sdk`; what stands elsewhere may move. The pages of the [client](../client.md), of
[services](../services.md) and of [pipelines](../pipelines.md) show how it is used.
"""
GROUPS: Mapping[str, tuple[str, ...]] = {
    "Declaring": ("service", "model", "pipeline", "step", "resource", "shape"),
    "In pipelines": ("vote", "mean", "median", "maximum", "concat", "stack", "combine", "route", "Outputs"),
    "Calling": (
        "MeshClient",
        "SyncMeshClient",
        "InferResult",
        "ModelMetadata",
        "TensorSpec",
        "ModelInfo",
        "CastWarning",
    ),
    "Errors": (
        "InferloomError",
        "InvalidInput",
        "ConfigError",
        "ModelNotFound",
        "NoReplica",
        "Unreachable",
        "Exhausted",
        "DeadlineExceeded",
        "Forbidden",
        "Unauthenticated",
        "Unsupported",
        "ReplicaError",
    ),
}


def page() -> str:
    """Raises Undescribed: something is exported and in no group, or has no docstring."""
    listed = [name for names in GROUPS.values() for name in names]
    if differ := set(listed) ^ set(sdk.__all__):
        raise Undescribed(f"reference/python_api.py and inferloom.sdk differ in {', '.join(sorted(differ))}")
    parts = [f"\n## {group}\n\n{_about(group)}{_objects(names)}" for group, names in GROUPS.items()]
    return HEAD + "".join(parts)


def _objects(names: Iterable[str]) -> str:
    return "\n".join(_object(name, public(home(name), name)) for name in names)


def home(name: str) -> str:
    """The module that defines an exported name."""
    return str(getattr(sdk, name).__module__)


def _object(name: str, found: Object) -> str:
    return described_class(name, found) if found.is_class else f"### {name}\n\n{rendered(found, name)}"


def _about(group: str) -> str:
    """Of the errors, their tree."""
    if group != "Errors":
        return ""
    tree = (errors.__doc__ or "").split("\n\n")[1]
    return block(tree, "") + "\n"
