"""Who belongs to which arm: a unit's point on a circle cut into ranges, and how the cuts move when shares change.

The point of a unit is the first 8 bytes, big endian, of SHA-256 over salt, 0x1f and unit. Ranges are kept with 52 bits, so
that every JSON parser reads their numbers exactly: a boundary times 4096 is its place among the 64-bit points.

An arm's ranges stand in the order in which it got them. One that shrinks gives back what it got last, and one that grows
takes only what others give: so raising a share moves nobody between the other arms, nobody back, and those who were in
an arm first stay in it longest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from fractions import Fraction

__all__ = ["SPAN", "Range", "cut", "moved", "point", "width"]

Range = tuple[int, int]  # from, up to and without
Ranges = tuple[Range, ...]

BITS = 52
SPAN = 1 << BITS
MOST = 64  # pieces of an arm whose order is remembered


def point(salt: str, unit: str | bytes) -> int:
    """The 64-bit point of a unit: the one arm function of the mesh."""
    raw = unit if isinstance(unit, bytes) else unit.encode()
    return int.from_bytes(hashlib.sha256(salt.encode() + b"\x1f" + raw).digest()[:8], "big")


def width(ranges: Sequence[Range]) -> int:
    return sum(end - start for start, end in ranges)


def cut(shares: Mapping[str, float]) -> dict[str, Ranges]:
    """The ranges of arms that nobody belongs to yet: one each, in their order."""
    return moved({}, {}, shares)


def moved(ranges: Mapping[str, Ranges], before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, Ranges]:
    """The ranges after the shares have changed.

    Args:
        ranges: as they are.
        before: the shares they were made for; an arm that is missing had none.
        after: the shares wanted, of every arm that there shall be; at least one is above 0.
    """
    widths = _widths({name: width(own) for name, own in ranges.items()}, _parts(before), _parts(after))
    kept: dict[str, list[Range]] = {}
    free: list[Range] = [] if ranges else [(0, SPAN)]
    for name, own in ranges.items():
        kept[name], given = _shrunk(list(own), widths.get(name, 0))
        free += given
    free.reverse()  # pieces are taken from the end
    for name, wanted in widths.items():
        own_now = kept.setdefault(name, [])
        missing = wanted - width(own_now)
        while missing > 0:
            start, end = free.pop()
            if end - start > missing:
                free.append((start + missing, end))
                end = start + missing
            own_now.append((start, end))
            missing -= end - start
    return {name: _tidy(kept[name]) for name in after}


def _parts(shares: Mapping[str, float]) -> dict[str, Fraction]:
    """Each share's part of the whole, exactly."""
    total = sum(map(Fraction, shares.values()), Fraction())
    return {name: Fraction(share) / total for name, share in shares.items()} if total else {}


def _widths(now: Mapping[str, int], before: Mapping[str, Fraction], after: Mapping[str, Fraction]) -> dict[str, int]:
    """Widths that add up to SPAN, each within one unit per arm of its share, where only growing arms are wider than now.

    Rounding alone must move nobody, so an arm whose part is unchanged keeps its width to the unit.
    """
    widths: dict[str, int] = {}
    growing = []
    for name, part in after.items():
        own, had, exact = now.get(name, 0), before.get(name, Fraction()), int(part * SPAN)
        if part == had:
            widths[name] = own
        elif part < had:
            widths[name] = min(own, exact)
        else:
            widths[name] = max(own, exact)
            growing.append(name)
    rest = SPAN - sum(widths.values())
    if growing and rest > 0:
        widths[max(growing, key=widths.__getitem__)] += rest
    while rest < 0:  # by a few units, where arms that grow by less than one were rounded up before
        name = max((n for n in widths if n not in growing or widths[n] > now.get(n, 0)), key=widths.__getitem__)
        widths[name] -= 1
        rest += 1
    return widths


def _shrunk(own: list[Range], wanted: int) -> tuple[list[Range], list[Range]]:
    """What an arm keeps and what it gives: the upper end of what it got last."""
    given = []
    surplus = width(own) - wanted
    while surplus > 0:
        start, end = own.pop()
        if end - start > surplus:
            own.append((start, end - surplus))
            start = end - surplus
        given.append((start, end))
        surplus -= end - start
    return own, given


def _tidy(own: list[Range]) -> Ranges:
    """Pieces that continue the one before are joined; of very many, the order of the oldest is forgotten."""
    if len(own) > MOST:
        own = sorted(own[: -MOST // 2]) + own[-MOST // 2 :]
    joined: list[Range] = []
    for start, end in own:
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return tuple(joined)
