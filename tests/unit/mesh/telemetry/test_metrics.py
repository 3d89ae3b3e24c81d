from __future__ import annotations

from grpc import StatusCode

from inferloom.mesh.telemetry.metrics import BUCKETS, MOST, RouterMetrics, exposition, gauge


def text(metrics: RouterMetrics) -> str:
    return exposition(metrics.collect).decode()


def test_requests_are_counted_by_model_version_code_and_duration() -> None:
    metrics = RouterMetrics()
    for seconds in (0.0004, 0.001, 0.02, 100.0):
        metrics.finished("iris", "1", StatusCode.OK, seconds)
    labels = 'code="OK",'
    series = f"inferloom_request_duration_seconds_bucket{{{labels}"
    found = {
        line.split('le="')[1].split('"')[0]: line.split()[-1] for line in text(metrics).splitlines() if series in line
    }
    assert found["0.0005"] == "1.0"
    assert found["0.001"] == "2.0"  # a bound belongs to its bucket
    assert found["0.025"] == "3.0"
    assert found["30.0"] == "3.0"
    assert found["+Inf"] == "4.0"
    assert len(found) == len(BUCKETS) + 1
    assert 'inferloom_request_duration_seconds_count{code="OK",model="iris",version="1"} 4.0' in text(metrics)


def test_failures_and_retries_are_counters() -> None:
    metrics = RouterMetrics()
    for _ in range(3):
        metrics.attempt_failed("iris", "a", StatusCode.UNAVAILABLE)
        metrics.retried("iris")
    shown = text(metrics)
    assert 'inferloom_attempt_failures_total{code="UNAVAILABLE",model="iris",replica="a"} 3.0' in shown
    assert 'inferloom_retries_total{model="iris"} 3.0' in shown
    assert metrics.retries == 3


def test_gauges_are_read_when_somebody_asks() -> None:
    value = [1.0]
    metrics = RouterMetrics(lambda: [gauge("inferloom_thing", "A thing.", ("model",), [(("iris",), value[0])])])
    assert 'inferloom_thing{model="iris"} 1.0' in text(metrics)
    value[0] = 2.0
    assert 'inferloom_thing{model="iris"} 2.0' in text(metrics)


def test_the_process_itself_is_there_too() -> None:
    assert "process_resident_memory_bytes" in text(RouterMetrics())


def test_what_has_left_the_catalog_is_dropped_and_other_names_are_counted_as_one() -> None:
    known = {"iris": ["a"], "old": ["a", "b"]}
    metrics = RouterMetrics(known=lambda: known)
    for model in ("iris", "old", "(unknown)"):
        metrics.finished(model, "1", StatusCode.OK, 0.1)
    for model, replica in (("iris", "a"), ("old", "a"), ("old", "b")):
        metrics.attempt_failed(model, replica, StatusCode.UNAVAILABLE)
        metrics.retried(model)
    assert 'model="old",replica="b"' in text(metrics)
    known["old"] = ["a"]
    assert 'model="old",replica="b"' not in text(metrics)
    assert 'model="old",replica="a"' in text(metrics)
    del known["old"]
    shown = text(metrics)
    assert 'model="old"' not in shown
    assert 'model="iris"' in shown
    assert 'model="(unknown)"' in shown


def test_series_are_bounded_even_where_nobody_ever_asks_for_them() -> None:
    """A replica that is started again and again has another name each time."""
    known = {"iris": [""]}
    metrics = RouterMetrics(known=lambda: known)
    for number in range(20 * MOST):
        known["iris"] = [str(number)]
        metrics.attempt_failed("iris", str(number), StatusCode.UNAVAILABLE)
    assert len(metrics._failed) <= MOST
    known.clear()
    for number in range(20 * MOST):
        name = f"m{number}"
        known[name] = []
        metrics.finished(name, "", StatusCode.OK, 0.1)
        del known[name]
    assert len(metrics._requests) <= MOST


def test_answers_later_than_the_objective_are_counted_and_failures_are_not() -> None:
    metrics = RouterMetrics()
    metrics.slow_after = {"iris": 0.1}
    for seconds in (0.05, 0.1, 0.1001, 2.0):
        metrics.finished("iris", "1", StatusCode.OK, seconds)
    metrics.finished("iris", "1", StatusCode.UNAVAILABLE, 2.0)
    metrics.finished("other", "1", StatusCode.OK, 2.0)
    shown = text(metrics)
    assert 'inferloom_objective_slow_total{model="iris"} 2.0' in shown
    assert 'inferloom_objective_slow_total{model="other"}' not in shown
