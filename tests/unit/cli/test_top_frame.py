"""A frame of `inferloom top`: rates, states, edges, and what did not answer."""

from __future__ import annotations

import io

from rich.console import Console

from inferloom.cli.top_look import Look, since
from inferloom.cli.top_view import frame
from inferloom.v1 import explain_pb2, mesh_pb2


def look(requests: int, seconds: float, *, told: tuple[str, ...] = ()) -> Look:
    """A mesh of one model and one pipeline, after so many requests."""
    serving, starting = mesh_pb2.REPLICA_STATE_SERVING, mesh_pb2.REPLICA_STATE_STARTING
    closed = mesh_pb2.ReplicaLoad(breaker="closed", in_flight=3, requests=requests)
    open_ = mesh_pb2.ReplicaLoad(breaker="open", why="open (5 failures in a row, 2 s left)", failures=5)
    replicas = [
        mesh_pb2.Replica(id="a", state=serving, load=closed),
        mesh_pb2.Replica(id="b", state=serving, load=open_),
        mesh_pb2.Replica(id="c", state=starting, problem="its weights are missing"),
    ]
    models = mesh_pb2.ListModelsResponse(models=[mesh_pb2.Model(name="iris", replicas=replicas)])
    edges = [
        explain_pb2.EdgeFigures(source="input", target="svm", requests=requests // 2),
        explain_pb2.EdgeFigures(source="svm", target="output", requests=requests // 2),
    ]
    svm = explain_pb2.NodeFigures(
        name="svm", requests=requests // 2, batches=requests / 8, seconds=requests * 0.004, late=2
    )
    flow = explain_pb2.PipelineFigures(name="digits", requests=requests // 2, nodes=[svm], edges=edges)
    iris = explain_pb2.ModelFigures(name="iris", requests=requests, failed=7, p50_ms=1.5, p99_ms=9.25)
    figures = explain_pb2.FiguresResponse(seconds=seconds, models=[iris], pipelines=[flow])
    return Look("h:1", models, figures, told=list(told))


def shown(found: Look) -> str:
    written = io.StringIO()
    Console(width=160, file=written).print(frame(found))
    return written.getvalue()


def row(text: str, name: str) -> list[str]:
    """The cells of the first row that begins so."""
    lines = [
        [cell.strip() for cell in line.strip("│").split("│")] for line in text.splitlines() if line.startswith("│")
    ]
    return next(cells for cells in lines if name in cells)


def test_the_rates_are_what_came_between_two_looks() -> None:
    text = shown(since(look(100, 10.0), look(300, 12.0)))
    assert row(text, "iris") == ["iris", "3 replicas", "", "100.0", "3", "1.5", "9.2", "", "7"]
    assert row(text, "a")[3] == "100.0"
    assert row(text, "input -> svm") == ["input -> svm", "50.0", "150", "0", "8.0", "4.0", "2"]
    assert row(text, "svm -> output")[1:3] == ["50.0", "150"]
    assert "100.0 requests/s, 3 in flight" in text


def test_what_edges_send_themselves_is_added_to_what_the_router_answers() -> None:
    a = explain_pb2.ReplicaFigures(replica="a", in_flight=4, failed=2, per_second=12.5, passed_over=True)
    iris = explain_pb2.ModelFigures(
        name="iris", requests=50, failed=1, p50_ms=2.5, p99_ms=20, in_flight=4, per_second=12, replicas=[a]
    )
    now = look(300, 12.0)
    now.edges = [explain_pb2.FiguresResponse(models=[iris])] * 2
    text = shown(since(look(100, 10.0), now))
    assert row(text, "iris") == ["iris", "3 replicas", "", "124.0", "11", "2.5", "20.0", "", "9"]
    assert row(text, "a")[2:5] == ["passed over by Envoy: its answers failed", "125.0", "11"]
    assert row(text, "b")[2] == "open (5 failures in a row, 2 s left)"
    assert "124.0 requests/s, 11 in flight" in text


def test_why_a_replica_takes_no_requests_is_told_once() -> None:
    text = shown(look(1, 1.0))
    assert row(text, "b")[2] == "open (5 failures in a row, 2 s left)"
    assert row(text, "c")[2] == "failed: its weights are missing"


def test_without_an_earlier_look_there_are_no_rates() -> None:
    assert row(shown(look(1, 1.0)), "iris")[3] == "-"


def test_a_process_that_began_anew_has_no_rate_until_the_next_look() -> None:
    assert since(look(300, 50.0), look(5, 1.0)).rates is None
    assert row(shown(since(look(300, 1.0), look(5, 2.0))), "iris")[3] == "-"


def test_what_does_not_answer_is_said_and_the_rest_is_shown() -> None:
    text = shown(look(1, 1.0, told=("no figures from h:9", "no figures from h:9")))
    assert text.count("no figures from h:9") == 1
    assert "iris" in text
    gone = look(1, 1.0).gone("no mesh answers at h:1")
    assert "no mesh answers at h:1" in shown(gone)
    assert "iris" in shown(gone)


def test_the_arms_of_a_split_are_shown_with_their_share() -> None:
    found = look(1, 1.0)
    arms = [
        mesh_pb2.ArmFigures(arm="1", part=0.9, codes={"OK": 8, "INTERNAL": 2}, served=True),
        mesh_pb2.ArmFigures(arm="2", part=0.1, mirror=True),
    ]
    found.splits = [mesh_pb2.SplitFiguresResponse(name="iris", arms=arms)]
    text = shown(found)
    assert row(text, "90 %") == ["iris", "1", "90 %", "8", "2", "-", "-"]
    assert row(text, "mirror 10 %")[1] == "2 (not served)"
