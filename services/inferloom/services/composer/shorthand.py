"""The shorter ways to write a pipeline in YAML, each turned into the canonical one.

inputs: {png: BYTES [1]}                   or a list of "png BYTES [1]"
outputs: {label: votes.label}              or {label: {source: votes.label, datatype: INT64, shape: [1]}}
nodes: {decode: {step: {...}}}             a mapping by name instead of a list; so `members` and `arms`
nodes: {decode: {function: app:decode}}    a step's fields without `step:`; so in members and arms
on_error: skip, fail, {value: {label: 0}}  instead of {skip: true}, {value: {values: {label: 0}}}
version: 2                                 instead of version: "2"
pass: {label: votes.label}                 instead of {pass: true, inputs: {...}}
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from inferloom.mesh.errors import InvalidInput
from inferloom.v1 import graph_pb2

__all__ = ["expanded", "tensor_type"]

_STEP = frozenset(field.name for field in graph_pb2.Step.DESCRIPTOR.fields)
_TENSOR = re.compile(r"(?:(?P<name>\S+)\s+)?(?P<datatype>[A-Z]+\d*)\s*\[(?P<shape>[-\d,\s]*)\]")


def expanded(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A copy in the canonical form; what is not a short form stays as it is, wrong or not."""
    whole = dict(spec)
    if "inputs" in whole:
        whole["inputs"] = _inputs(whole["inputs"])
    if isinstance(whole.get("outputs"), Mapping):
        whole["outputs"] = [
            {"name": name, **source} if isinstance(source, Mapping) else {"name": name, "source": source}
            for name, source in whole["outputs"].items()
        ]
    if "nodes" in whole:
        whole["nodes"] = _each(whole["nodes"], _node)
    return whole


def tensor_type(text: str, path: str) -> dict[str, Any]:
    """ "png BYTES [1]" or "BYTES [1]" as a TensorType; InvalidInput naming the path."""
    match = _TENSOR.fullmatch(text.strip())
    if match is None:
        raise InvalidInput(
            f"{path}: {text!r} is no tensor; write its datatype and shape: png BYTES [1], x FP32 [-1,64]"
        )
    try:
        shape = [int(size) for size in match["shape"].split(",") if size.strip()]
    except ValueError:
        raise InvalidInput(f"{path}: the shape in {text!r} is no list of numbers; one is [-1,64]") from None
    found: dict[str, Any] = {"name": match["name"]} if match["name"] else {}
    return {**found, "datatype": match["datatype"], "shape": shape}


def _inputs(inputs: Any) -> Any:
    if isinstance(inputs, Mapping):
        return [
            {**(tensor_type(kind, f"inputs.{name}") if isinstance(kind, str) else _mapping(kind)), "name": name}
            for name, kind in inputs.items()
        ]
    if isinstance(inputs, list):
        return [
            tensor_type(kind, f"inputs[{index}]") if isinstance(kind, str) else kind
            for index, kind in enumerate(inputs)
        ]
    return inputs


def _each(items: Any, form: Any) -> Any:
    if isinstance(items, Mapping):
        items = [{"name": name, **inner} if isinstance(inner, Mapping) else inner for name, inner in items.items()]
    if isinstance(items, list | tuple):
        return [form(item) if isinstance(item, Mapping) else item for item in items]
    return items


def _node(node: Mapping[str, Any]) -> dict[str, Any]:
    whole = _with_step(node)
    ensemble, route = whole.get("ensemble"), whole.get("route")
    if isinstance(ensemble, Mapping) and "members" in ensemble:
        whole["ensemble"] = {**ensemble, "members": _each(ensemble["members"], _with_step)}
    if isinstance(route, Mapping) and "arms" in route:
        whole["route"] = {**route, "arms": _each(route["arms"], _with_step)}
    return whole


def _with_step(item: Mapping[str, Any]) -> dict[str, Any]:
    """A step's fields beside those of the node, member or arm are put into `step`."""
    whole = dict(item)
    if "step" not in whole and not whole.keys().isdisjoint(("model", "function", "pass")):
        whole["step"] = {key: whole.pop(key) for key in [*whole] if key in _STEP}
    if isinstance(whole.get("step"), Mapping):
        whole["step"] = _step(whole["step"])
    return whole


def _step(step: Mapping[str, Any]) -> dict[str, Any]:
    whole = dict(step)
    if isinstance(whole.get("pass"), Mapping):
        whole["inputs"], whole["pass"] = {**_mapping(whole.get("inputs")), **whole["pass"]}, True
    if type(whole.get("version")) is int:  # not a bool
        whole["version"] = str(whole["version"])
    does = whole.get("on_error")
    if does in ("skip", "fail"):
        whole["on_error"] = {does: True}
    elif isinstance(does, Mapping) and isinstance(does.get("value"), Mapping):
        value = does["value"]
        plain = not (value.keys() == {"values"} and isinstance(value["values"], Mapping))
        whole["on_error"] = {**does, "value": {"values": value}} if plain else does
    return whole


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}
