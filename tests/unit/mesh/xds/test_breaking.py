import pytest

from inferloom.mesh.policy import Breaking
from inferloom.mesh.xds.breaking import outlier_detection


@pytest.mark.parametrize(("rate", "percent"), [(0.004, 1), (0.5, 50), (1.0, 100)])
def test_a_rate_below_half_a_percent_does_not_become_one_that_all_replicas_exceed(rate: float, percent: int) -> None:
    assert outlier_detection(Breaking(rate=rate)).failure_percentage_threshold == percent
