from pathlib import Path

import pytest

from bench.h2load import Load, command, parse_log, parse_summary, quantile

FINISHED = """\
starting benchmark...
progress: 100% done

finished in 1.81s, 11019.74 req/s, 880.01KB/s
requests: 20000 total, 20000 started, 20000 done, 19998 succeeded, 2 failed, 0 errored, 0 timeout
status codes: 19998 2xx, 0 3xx, 2 4xx, 0 5xx
traffic: 1.56MB (1635477) total, 58.89KB (60300) headers (space savings 96.28%), 957.03KB (980000) data
                     min         max         mean         sd        +/- sd
time for request:      644us     58.49ms      5.27ms      3.84ms    87.44%
"""


def test_the_summary_of_a_finished_run_is_read() -> None:
    summary = parse_summary(FINISHED)
    assert (summary.requests, summary.succeeded, summary.data_bytes) == (20000, 19998, 980000)
    assert (summary.rate, summary.seconds) == (11019.74, 1.81)


def test_a_run_shorter_than_a_second_is_read_in_seconds() -> None:
    assert parse_summary(FINISHED.replace("1.81s", "640.50ms")).seconds == pytest.approx(0.6405)


def test_a_run_that_did_not_finish_is_an_error_with_its_last_words() -> None:
    with pytest.raises(ValueError, match=r"did not finish: .*\[ERROR\] unable to connect"):
        parse_summary("starting benchmark...\n[ERROR] unable to connect\n")


def test_a_run_without_output_is_an_error() -> None:
    with pytest.raises(ValueError, match="no output"):
        parse_summary("")


def test_latencies_are_the_third_column_in_seconds_ascending() -> None:
    lines = ["1795162568893235\t200\t44481\n", "1795162568893236\t200\t1000\n", "\n"]
    assert parse_log(lines) == [0.001, 0.044481]


def test_the_median_is_one_of_the_values() -> None:
    assert quantile([1.0, 2.0, 3.0], 0.5) == 2.0
    assert quantile([1.0, 2.0, 3.0], 0.99) == 3.0
    assert quantile([1.0], 1.0) == 1.0


def test_no_latencies_have_no_median() -> None:
    with pytest.raises(ValueError, match="empty"):
        quantile([], 0.5)


def test_the_command_keeps_the_asked_for_requests_in_flight() -> None:
    load = Load("busy", connections=4, streams=16)
    argv = command(load, 1000, "http://127.0.0.1:1/x", Path("body"), Path("log"))
    assert load.in_flight == 64
    assert {"--requests=1000", "--clients=4", "--max-concurrent-streams=16", "--log-file=log"} <= set(argv)
    assert argv[-1] == "http://127.0.0.1:1/x"
