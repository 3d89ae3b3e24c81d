import pytest

from bench.proxies.honest import forwarded, shortened


def test_metadata_of_the_connection_stays_behind() -> None:
    pairs = (("user-agent", "a"), ("te", "trailers"), ("grpc-timeout", "1S"), ("x-tenant", "b"), ("key-bin", b"\0"))
    assert forwarded(pairs) == (("x-tenant", "b"), ("key-bin", b"\0"))
    assert forwarded(None) == ()


@pytest.mark.parametrize(("remaining", "left"), [(10.0, 9.99), (0.1, 0.095), (0.0, 0.0), (-1.0, 0.0)])
def test_the_next_hop_gets_the_deadline_less_a_margin(remaining: float, left: float) -> None:
    assert shortened(remaining) == pytest.approx(left)


def test_no_deadline_stays_none() -> None:
    assert shortened(None) is None
