"""Which nodes are batched together.

A unit is a set of row-wise nodes that

- have the same ancestors that are not row-wise: so all of its inputs belong to one moment;
- have the same users that are not row-wise, down to the arm or member that uses them: so nobody needs a part of it only;
- hang together;
- let nobody outside wait longer: who uses one of them comes after all of them anyway.

Such a set is convex (a path that leaves it does not come back: a node on the path would have the same ancestors and users),
so the units and the other nodes form a graph again. Where all nodes of a pipeline are row-wise they are one unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

__all__ = ["depth", "units_of"]

Port = tuple[str, str]  # a node that is not row-wise, and the member or arm of it that needs something ("": all of it)


def units_of(
    order: Sequence[str],
    rows: Mapping[str, bool],
    ports: Mapping[str, Mapping[str, frozenset[str]]],
    wanted: Iterable[str],
) -> list[list[str]]:
    """The nodes in groups; one that is not row-wise is alone.

    Args:
        order: names of the nodes, each after those it needs.
        rows: whether a node is row-wise.
        ports: for each node, what its member or arm ("": the node itself) needs.
        wanted: nodes that the pipeline's outputs come from.
    """
    if all(rows[name] for name in order):
        return [list(order)] if order else []
    needs = {name: frozenset().union(*ports[name].values()) for name in order}
    users: dict[str, set[str]] = {name: set() for name in order}
    for name in order:
        for each in needs[name]:
            users[each].add(name)
    above: dict[str, frozenset[str]] = {}  # ancestors that are not row-wise
    ancestors: dict[str, frozenset[str]] = {}
    for name in order:
        own = [above[each] | (frozenset() if rows[each] else {each}) for each in needs[name]]
        above[name] = frozenset().union(*own)
        ancestors[name] = needs[name].union(*(ancestors[each] for each in needs[name]))
    below: dict[str, set[Port]] = {name: set() for name in order}  # users that are not row-wise
    for name in wanted:
        below[name].add(("", ""))
    for name in reversed(order):
        for port, needed in ports[name].items():
            for each in needed:
                below[each] |= below[name] if rows[name] else {(name, port)}

    def joinable(one: str, other: str) -> bool:
        return rows[one] and rows[other] and above[one] == above[other] and below[one] == below[other]

    edges = {(each, name) for name in order for each in needs[name] if joinable(each, name)}
    while True:
        groups = _components(order, edges)
        hasty = {
            name
            for group in groups
            for name in group
            for user in users[name]
            if user not in group and not set(group) <= ancestors[user]
        }
        removed = {edge for edge in edges if edge[0] in hasty}
        if not removed:
            break
        edges -= removed
    return [
        part for group in groups for part in ([group] if _convex(group, needs, ancestors) else [[n] for n in group])
    ]


def depth(group: Sequence[str], needs: Mapping[str, frozenset[str]], stages: Mapping[str, int]) -> int:
    """The longest way through a unit, in calls one after the other; `stages` says how many a node makes."""
    longest: dict[str, int] = {}
    for name in group:
        longest[name] = stages[name] + max((longest[each] for each in needs[name] if each in longest), default=0)
    return max(longest.values(), default=0)


def _components(order: Sequence[str], edges: Iterable[tuple[str, str]]) -> list[list[str]]:
    found = {name: name for name in order}

    def root(name: str) -> str:
        while found[name] != name:
            name = found[name]
        return name

    for one, other in edges:
        found[root(one)] = root(other)
    groups: dict[str, list[str]] = {}
    for name in order:
        groups.setdefault(root(name), []).append(name)
    return list(groups.values())


def _convex(group: Sequence[str], needs: Mapping[str, frozenset[str]], ancestors: Mapping[str, frozenset[str]]) -> bool:
    """Whether nothing outside comes both after one of them and before another."""
    inside = set(group)
    outside = set().union(*(ancestors[name] for name in group)) - inside
    return not any(ancestors[name] & inside for name in outside)
