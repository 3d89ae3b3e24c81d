"""What the Lua filter reads from a model's routes: the default version, where each version is, the split.

default      version to write into requests that name none; absent: none has to be written
versions     {version: "" or "@"}: "@" has a cluster of its own; one that is missing is the router's to refuse
split        identifies the split and its contents, so that a worker reads it once; absent: no split
split_spec   salt, by, overrides {unit: index of the arm}, arms [{name, part, ranges, and where it goes: served, model,
             version, own}]; ranges are [from, up to and without) with numbers below 2^52, which a double holds exactly
large        bytes above which a message that had to be rewritten goes to the router instead
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from envoy_data_plane.envoy.config.core.v3 import Metadata

from inferloom.mesh.split import Arm, Split
from inferloom.mesh.xds.messages import struct
from inferloom.mesh.xds.serving import Serving
from inferloom.mesh.xds.types import LUA

__all__ = ["LARGE", "metadata", "split_spec"]

LARGE = 4 << 20  # bytes: rewriting copies the message, in a worker that serves others meanwhile
OWN = "@"


def metadata(serving: Serving, name: str, spec: Mapping[str, Any] | None) -> Metadata:
    """The metadata of a model's routes. `spec` as `split_spec` gives it."""
    values: dict[str, Any] = {
        "versions": {version: OWN if version in serving.own else "" for version in sorted(serving.versions)},
        "large": LARGE,
    }
    if serving.default:
        values["default"] = serving.default
    if spec is not None:
        values["split"] = f"{name}/{sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:16]}"
        values["split_spec"] = spec
    return Metadata(filter_metadata={LUA: struct(values)})


def split_spec(split: Split, serving: Mapping[str, Serving | None]) -> dict[str, Any] | None:
    """The arms as the filter draws them; where nobody serves an arm the biggest one that is served stands in for it.

    Args:
        serving: of the split's model and of every model that an arm names.

    Returns:
        None where no arm is served: the router says so.
    """
    served = [arm for arm in split.shared if _is_served(split, arm, serving)]
    if not served:
        return None
    arms = [arm for arm in split.arms if not arm.mirror]
    entries = []
    for arm in arms:
        target = arm if _is_served(split, arm, serving) else served[0]
        entry: dict[str, Any] = {
            "name": arm.name,
            "part": arm.part,
            "ranges": [list(piece) for piece in arm.ranges],
            "served": target.name,
            "model": target.model,
            "version": target.target_version,
            "own": _own(split, target, serving),
        }
        entries.append(entry)
    index = {arm.name: number for number, arm in enumerate(arms)}
    overrides = {unit: index[name] for unit, name in split.overrides.items()}
    return {"salt": split.salt, "by": split.by, "overrides": overrides, "arms": entries}


def _is_served(split: Split, arm: Arm, serving: Mapping[str, Serving | None]) -> bool:
    at = serving.get(arm.model or split.name)
    return at is not None and at.serves(arm.target_version)


def _own(split: Split, arm: Arm, serving: Mapping[str, Serving | None]) -> str:
    at = serving[arm.model or split.name]
    assert at is not None
    return OWN if (arm.target_version or at.default) in at.own else ""
