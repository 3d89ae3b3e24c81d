"""The kinds of documents: what they are called, and how each is settled, checked and drawn.

| kind     | its spec                                    |
|----------|---------------------------------------------|
| pipeline | a graph (`inferloom.v1.Graph` as JSON)      |
| split    | arms, shares and ranges                     |
| policy   | time-outs, retries, balancing, bounds       |
| model    | versions with their files, replicas, GPUs   |
| service  | versions with their Python file, replicas   |
| app      | a Python file whose steps pipelines name    |
"""

from __future__ import annotations

import difflib
import json
from typing import Any

import yaml

from inferloom.cli.up.documents import KINDS, PIPELINE, POLICY, SPLIT
from inferloom.mesh.errors import InvalidInput
from inferloom.mesh.registry.base import Spec

__all__ = ["FORMS", "as_yaml", "drawn", "kind_of", "settled"]

FORMS = ("yaml", "json", "text", "svg")


def kind_of(text: str) -> str:
    """The kind that is meant, singular or plural. Raises InvalidInput, naming the nearest."""
    known = {form: kind for kind in KINDS for form in (kind, f"{kind}s", "policies" if kind == POLICY else kind)}
    kind = known.get(text.lower())
    if kind is None:
        near = difflib.get_close_matches(text.lower(), known, 1, 0.5)
        hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(KINDS)}"
        raise InvalidInput(f"there is no kind '{text}'; {hint}")
    return kind


def settled(kind: str, name: str, spec: Spec, previous: Spec | None) -> Spec:
    """What is to be stored: of a split the ranges follow from the present ones, so that nobody moves without need.

    Raises:
        InvalidInput: the spec is none of this kind.
    """
    if kind == SPLIT:
        from inferloom.mesh.split import settled as of_split

        return of_split(name, spec, previous)
    if kind == POLICY:
        from inferloom.mesh.policies import settled as of_policy

        return of_policy(name, spec)
    return spec


def drawn(kind: str, name: str, spec: Spec, form: str) -> str:
    """The document for people: one of FORMS. Raises InvalidInput where its kind cannot be shown so."""
    if form == "json":
        return json.dumps(_envelope(kind, name, spec), indent=2)
    if form == "yaml":
        return as_yaml(_envelope(kind, name, spec)).rstrip()
    if form not in FORMS:
        raise InvalidInput(f"-o {form}: the forms are {', '.join(FORMS)}")
    if kind != PIPELINE:
        raise InvalidInput(f"-o {form} draws pipelines; a {kind} is shown as yaml or json")
    from inferloom.services.composer.draw import draw
    from inferloom.services.composer.draw_svg import draw_svg
    from inferloom.services.composer.graph import graph_from

    graph = graph_from(spec, name)
    return draw_svg(graph) if form == "svg" else draw(graph)


def as_yaml(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, default_flow_style=False, allow_unicode=True)


def _envelope(kind: str, name: str, spec: Spec) -> dict[str, Any]:
    return {"kind": kind, "name": name, "spec": dict(spec)}
