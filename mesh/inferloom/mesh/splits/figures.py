"""What each arm has done: counted where the request passes, added up over processes when somebody asks."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from inferloom.mesh.split import Arm, Split
from inferloom.mesh.splits.histogram import DIFFERENCES, LATENCIES, Histogram
from inferloom.v1 import mesh_pb2 as pb

if TYPE_CHECKING:  # it needs numpy, which a router without mirrors does not load
    from inferloom.mesh.splits.compare import Comparison

__all__ = ["ArmFigures", "MirrorFigures", "SplitFigures", "added"]

EXAMPLES = 5  # of disagreement


class MirrorFigures:
    """How a mirror's answers compare with the real ones.

    `agreed` and `differed` count pairs of answers; a pair with an error on one side is `failed` alone. What was sampled and
    not sent, or not compared, is in `skipped` by reason.
    """

    __slots__ = ("agreed", "differed", "difference", "examples", "failed", "primary", "skipped")

    def __init__(self) -> None:
        self.agreed = self.differed = self.failed = 0
        self.skipped: dict[str, int] = {}
        self.difference = Histogram(DIFFERENCES)  # largest absolute one of each pair
        self.primary = Histogram(LATENCIES)  # of the real answers that were compared
        self.examples: deque[str] = deque(maxlen=EXAMPLES)  # request ids

    def skip(self, reason: str) -> None:
        self.skipped[reason] = self.skipped.get(reason, 0) + 1

    def compared(self, comparison: Comparison, request_id: str, seconds: float) -> None:
        """A pair of answers; `seconds` is the real one's time."""
        self.primary.add(seconds)
        if comparison.difference is not None:
            self.difference.add(comparison.difference)
        if comparison.agrees:
            self.agreed += 1
        else:
            self.differed += 1
            self.examples.append(request_id)


class ArmFigures:
    """One arm's, for as long as it stands for the same model and version."""

    __slots__ = ("codes", "latency", "mirror", "overridden", "stood_in")

    def __init__(self) -> None:
        self.codes: dict[str, int] = {}  # by name of the status code, "OK" among them
        self.latency = Histogram(LATENCIES)  # of the answers without error
        self.overridden = 0  # testers' requests
        self.stood_in = 0  # requests of other arms, which nobody served
        self.mirror = MirrorFigures()

    def finished(self, code: str, seconds: float) -> None:
        self.codes[code] = self.codes.get(code, 0) + 1
        if code == "OK":
            self.latency.add(seconds)


class SplitFigures:
    """All arms of a split; arms that stay the same keep theirs when the split changes."""

    def __init__(self) -> None:
        self.arms: dict[tuple[str, str, str], ArmFigures] = {}

    def follow(self, split: Split) -> None:
        """Have figures for its arms, and forget those of others."""
        self.arms = {key: self.arms.get(key) or ArmFigures() for key in map(_key, split.arms)}

    def of(self, arm: Arm) -> ArmFigures:
        """An arm's; one that has left the split meanwhile is counted in vain."""
        return self.arms.get(_key(arm)) or ArmFigures()

    def message(self, split: Split) -> list[pb.ArmFigures]:
        """As `SplitFigures` answers them."""
        return [_message(arm, self.of(arm)) for arm in split.arms]


def _key(arm: Arm) -> tuple[str, str, str]:
    return (arm.name, arm.model, arm.target_version)


def _message(arm: Arm, figures: ArmFigures) -> pb.ArmFigures:
    mirror = figures.mirror
    message = pb.ArmFigures(
        arm=arm.name,
        model=arm.model,
        version=arm.target_version,
        mirror=arm.mirror,
        part=arm.sample if arm.mirror else arm.part,
        codes=figures.codes,
        overridden=figures.overridden,
        stood_in=figures.stood_in,
    )
    _fill(message.latency, figures.latency)
    if arm.mirror:
        compared = message.compared
        compared.agreed, compared.differed, compared.failed = mirror.agreed, mirror.differed, mirror.failed
        compared.skipped.update(mirror.skipped)
        compared.examples.extend(mirror.examples)
        _fill(compared.difference, mirror.difference)
        _fill(compared.primary, mirror.primary)
    return message


def added(mine: Iterable[pb.ArmFigures], others: Iterable[pb.ArmFigures]) -> list[pb.ArmFigures]:
    """The figures of several processes as one. What only others know is of another version of the split, and left out."""
    sums = {(figures.arm, figures.model, figures.version): figures for figures in mine}
    for other in others:
        known = sums.get((other.arm, other.model, other.version))
        if known is None:
            continue
        _add_counts(known.codes, other.codes)
        known.overridden += other.overridden
        known.stood_in += other.stood_in
        _fill(known.latency, _merged(LATENCIES, known.latency, other.latency))
        if known.mirror and other.mirror:
            here, there = known.compared, other.compared
            here.agreed += there.agreed
            here.differed += there.differed
            here.failed += there.failed
            _add_counts(here.skipped, there.skipped)
            here.examples[:] = [*here.examples, *there.examples][-EXAMPLES:]
            _fill(here.difference, _merged(DIFFERENCES, here.difference, there.difference))
            _fill(here.primary, _merged(LATENCIES, here.primary, there.primary))
    return list(sums.values())


def _add_counts(into: Any, counts: Any) -> None:
    """Both are maps of a message."""
    for key, count in counts.items():
        into[key] += count


def _merged(bounds: tuple[float, ...], *messages: pb.Distribution) -> Histogram:
    total = Histogram(bounds)
    for message in messages:
        one = Histogram(bounds, message.buckets, message.sum)
        one.most = message.max
        total.merge(one)
    return total


def _fill(message: pb.Distribution, histogram: Histogram) -> None:
    message.count = histogram.count
    message.sum, message.max = histogram.sum, histogram.most
    message.p50, message.p99 = histogram.quantile(0.5), histogram.quantile(0.99)
    message.buckets[:] = histogram.counts
