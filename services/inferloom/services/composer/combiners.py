"""What joins and divides the values of a pipeline: ensembles and routes, for the body of a `@pipeline` function.

Members and arms are calls. One that is used for nothing else runs only as that member or arm; so does a chain of calls that
ends in it: under an arm that is not taken nothing runs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from inferloom.mesh.errors import ConfigError, InvalidInput
from inferloom.services.composer.durations import duration
from inferloom.services.composer.fold import Part
from inferloom.services.composer.outputs import fields_of
from inferloom.services.composer.symbols import Symbol, reference_of
from inferloom.services.composer.trace import Tracer
from inferloom.services.recording import recorder
from inferloom.v1 import graph_pb2

__all__ = ["arm_value", "combine", "concat", "maximum", "mean", "median", "stack", "tracer_of", "unique", "vote"]


def vote(
    *members: Any,
    weights: Sequence[float] | None = None,
    quorum: int | None = None,
    wait: float | str | None = None,
    output: str = "",
) -> Any:
    """The answer that most members gave, as `label`, and its `share` (FP64) of the weights of all who answered.

    A member's vote is its output: a whole number, text or truth as it is, of scores (floating point) the index of the
    largest along the last axis. Of equal counts the vote of the member written first wins.

    Args:
        members: calls, or one of their outputs each.
        weights: one for each member, above 0.
        quorum: how many members must have answered; without a word all.
        wait: seconds, or "50ms", from the start of the first member: then those that have answered are combined, if they
            are a quorum. Without it: until the deadline.
        output: the members' output that is combined; without a word `label`, or their only common one.

    Raises:
        ConfigError: outside of a pipeline's function, or a member is no call; names the line.
    """
    return _ensemble("vote", members, weights, quorum, wait, output)


def mean(
    *members: Any,
    weights: Sequence[float] | None = None,
    quorum: int | None = None,
    wait: float | str | None = None,
    output: str = "",
) -> Any:
    """The mean, element by element, weighted where there are weights; arguments as of `vote`. Whole numbers give FP64."""
    return _ensemble("mean", members, weights, quorum, wait, output)


def median(*members: Any, quorum: int | None = None, wait: float | str | None = None, output: str = "") -> Any:
    """The median, element by element; arguments as of `vote`. Whole numbers give FP64."""
    return _ensemble("median", members, None, quorum, wait, output)


def maximum(*members: Any, quorum: int | None = None, wait: float | str | None = None, output: str = "") -> Any:
    """The largest, element by element; arguments as of `vote`."""
    return _ensemble("max", members, None, quorum, wait, output)


def concat(*members: Any, quorum: int | None = None, wait: float | str | None = None, output: str = "") -> Any:
    """The members' outputs side by side along the last axis, in the order written; arguments as of `vote`."""
    return _ensemble("concat", members, None, quorum, wait, output)


def stack(*members: Any, into: Any, input: str = "", output: str = "", wait: float | str | None = None) -> Any:  # noqa: A002
    """What the model `into` (a handle) makes of the members' outputs side by side along the last axis.

    All members must answer. `input` is the model's input that takes them, where it has several.
    """
    name = into if isinstance(into, str) else getattr(into, "name", None)
    if not isinstance(name, str):
        raise ConfigError(f"{tracer_of('stack').place()}: stack(into={into!r}): a handle, as model('NAME') gives it")
    return _ensemble("stack", members, None, None, wait, output, model=name, model_input=input)


def combine(
    function: Any,
    *members: Any,
    quorum: int | None = None,
    wait: float | str | None = None,
    output: str = "",
) -> Any:
    """What a @step makes of the list of the members' outputs, stacked along a new first axis; arguments as of `vote`."""
    declaration = getattr(function, "declaration", function)
    reference = getattr(declaration, "reference", None)
    if not isinstance(reference, str):
        raise ConfigError(
            f"{tracer_of('combine').place()}: combine({function!r}, ...): the first is a function with @step"
        )
    return _ensemble("function", members, None, quorum, wait, output, function=reference)


def _ensemble(
    how: str,
    members: Sequence[Any],
    weights: Sequence[float] | None,
    quorum: int | None,
    wait: float | str | None,
    output: str,
    **more: str,
) -> Symbol:
    tracer = tracer_of(how)
    place = tracer.place()
    if not members:
        raise ConfigError(f"{place}: {how} has no members")
    if wrong := [member for member in members if not isinstance(member, Symbol)]:
        raise ConfigError(f"{place}: {how}: {wrong[0]!r} is no call of a model or step")
    if weights is not None and len(weights) != len(members):
        raise ConfigError(f"{place}: {how} has {len(members)} members and {len(weights)} weights; one for each")
    if weights is not None and not all(math.isfinite(weight) and weight > 0 for weight in weights):
        raise ConfigError(f"{place}: {how}: weights {[*weights]}; each is above 0 (leave out a member that has none)")
    if quorum is not None and not 1 <= quorum <= len(members):
        raise ConfigError(f"{place}: {how}: quorum={quorum} of {len(members)} members; it is from 1 to {len(members)}")
    named = [name for member in members if (name := reference_of(member).output)]
    node = graph_pb2.Node()
    ensemble = node.ensemble
    ensemble.combine = f"weighted_{how}" if weights is not None else how
    ensemble.output = output or (named[0] if named else "")
    ensemble.quorum = quorum or 0
    for field, text in more.items():
        setattr(ensemble, field, text)
    if wait is not None:
        try:
            ensemble.wait = duration(wait)
        except InvalidInput as error:
            raise ConfigError(f"{place}: {how}: wait: {error}") from None
    parts, taken = [], set[str]()
    for index, member in enumerate(members):
        name = unique(reference_of(member).node, taken)
        target = ensemble.members.add(name=name, weight=weights[index] if weights is not None else 0)
        parts.append(Part(target, member))
    return tracer.add("combine" if how == "function" else how, node, parts, place=place)


def unique(name: str, taken: set[str]) -> str:
    count, free = 1, name
    while free in taken:
        count += 1
        free = f"{name}-{count}"
    taken.add(free)
    return free


def arm_value(value: Any, place: Any, name: str) -> Symbol | Mapping[str, Any]:
    """What an arm answers with: a call, or Outputs."""
    if isinstance(value, Symbol):
        return value
    fields = fields_of(value)
    if not fields:
        raise ConfigError(f"{place}: route, arm {name}: {value!r}; an arm is a call, or Outputs(name=value, ...)")
    return fields


def tracer_of(what: str) -> Tracer:
    found = recorder.get()
    if isinstance(found, Tracer):
        return found
    raise ConfigError(
        f"{what}(...) belongs into the function of a @pipeline, where calls are traced; on plain values use numpy, "
        "on answers of handles `await` them first"
    )
