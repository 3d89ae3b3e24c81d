"""What the Lua filter reads of a model: the default version and the split, where its requests have to be written anew.

Metadata of the route that a request without a version takes, which every request copies; most models have none:

    rule.default      version to write into the request
    rule.own          "@": that version has a cluster of its own
    rule.split        identifies the split and its contents, so that a worker reads it once; absent: no split

Metadata of the virtual host:

    split_spec        salt, by, overrides {unit: index of the arm}, arms [{name, part, ranges, and where it goes: served,
                      model, version, own}]; ranges are [from, up to and without) with numbers below 2^52, which a double
                      holds exactly
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

__all__ = ["of_host", "of_route", "split_spec"]

OWN = "@"


def of_route(serving: Serving, name: str, spec: Mapping[str, Any] | None) -> Metadata | None:
    """The metadata of a model's route for requests without a version. `spec` as `split_spec` gives it."""
    rule: dict[str, Any] = {}
    if serving.default:
        rule |= {"default": serving.default, "own": OWN if serving.default in serving.own else ""}
    if spec is not None:
        rule["split"] = f"{name}/{sha256(json.dumps(spec, sort_keys=True).encode()).hexdigest()[:16]}"
    return Metadata(filter_metadata={LUA: struct({"rule": rule})}) if rule else None


def of_host(spec: Mapping[str, Any] | None) -> Metadata | None:
    """The metadata of a model's virtual host."""
    return Metadata(filter_metadata={LUA: struct({"split_spec": spec})}) if spec is not None else None


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
            "version": (version := _version(split, target, serving)),
            "own": OWN if version in _at(split, target, serving).own else "",
        }
        entries.append(entry)
    index = {arm.name: number for number, arm in enumerate(arms)}
    overrides = {unit: index[name] for unit, name in split.overrides.items()}
    return {"salt": split.salt, "by": split.by, "overrides": overrides, "arms": entries}


def _is_served(split: Split, arm: Arm, serving: Mapping[str, Serving | None]) -> bool:
    at = serving.get(arm.model or split.name)
    return at is not None and at.serves(arm.target_version)


def _version(split: Split, arm: Arm, serving: Mapping[str, Serving | None]) -> str:
    """To write into the request; "": the model that the arm leads to gives the right one by itself."""
    return arm.target_version or _at(split, arm, serving).default


def _at(split: Split, arm: Arm, serving: Mapping[str, Serving | None]) -> Serving:
    at = serving[arm.model or split.name]
    assert at is not None
    return at
