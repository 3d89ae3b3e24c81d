from bench.gateway.envoy import bare
from bench.gateway.report import Added, GatewayReport, Loaded


def loaded(way: str, round_: int, rate: float, cpu: float) -> Loaded:
    return Loaded(way, round_, 1000, rate, 100.0, cpu)


def test_a_ratio_is_taken_within_a_round_and_the_median_over_rounds() -> None:
    samples = [
        loaded("bare", 0, 100, 20),
        loaded("edge", 0, 90, 26),
        loaded("bare", 1, 1000, 40),
        loaded("edge", 1, 950, 50),
        loaded("bare", 2, 10, 20),
        loaded("edge", 2, 8, 28),
    ]
    report = GatewayReport(samples, [], {})
    assert report.ratio("edge", "bare", "rate") == 0.9
    assert report.paired("edge", "bare", "cpu_us", lambda a, b: a - b) == 8


def test_a_target_that_is_missed_says_so() -> None:
    samples = [loaded("bare", 0, 100, 20), loaded("edge", 0, 80, 40)]
    added = [Added("a tiny call", "direct", "edge", 0, 0.2, 0.31), Added("1 MiB", "direct", "edge", 0, 3.0, 1.0)]
    targets = GatewayReport(samples, added, {}).targets()
    assert [target.met for target in targets] == [False, False, False, True]
    assert targets[2].what == "a tiny call, one at a time: edge over direct"


def test_what_was_not_measured_is_no_target() -> None:
    assert GatewayReport([], [], {}).targets() == []


def test_the_bare_envoy_leads_to_tritons_port() -> None:
    cluster = bare(1, 2)["static_resources"]["clusters"][0]
    endpoint = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
    assert endpoint["address"]["socket_address"]["port_value"] == 2
