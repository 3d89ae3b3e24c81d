"""Whether what an Envoy has counted goes on, or began anew, or long before."""

from __future__ import annotations

import pytest

from inferloom.mesh.xds.edge_lifetime import Counted, Lifetime

ANEW, ON, BEFORE = Counted.ANEW, Counted.ON, Counted.BEFORE


@pytest.mark.parametrize(
    ("readings", "judged"),
    [
        ([(102, 1)], [ANEW]),
        ([(102, 4)], [ANEW]),  # it ran before it asked for its configuration
        ([(102, 3600)], [BEFORE]),
        ([(103, 0), (106, 2), (109, 6)], [ANEW, ON, ON]),  # what it says is behind
        ([(103, 2), (106, 2)], [ANEW, ON]),
        ([(103, 3600), (106, 3603), (109, 1)], [BEFORE, ON, ANEW]),
        ([(103, 2), (200, 90)], [ANEW, ANEW]),  # it could not be read meanwhile
        ([(103, 2), (200, 98)], [ANEW, ON]),
        ([(103, float("inf")), (106, float("inf"))], [BEFORE, ON]),  # it does not say
    ],
)
def test_an_envoy_is_told_from_the_one_before_by_how_long_it_runs(
    readings: list[tuple[float, float]], judged: list[Counted]
) -> None:
    lifetime = Lifetime(100)
    assert [lifetime.judge(seconds, now) for now, seconds in readings] == judged
