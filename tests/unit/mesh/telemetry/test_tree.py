from __future__ import annotations

from typing import Any

from inferloom.mesh.telemetry.tree import SpanRecord, outline, tree
from tests.support.jaeger import records_of

MS = 1_000_000


def span(name: str, parent: str = "", began: int = 0, ended: int = 1, **more: Any) -> SpanRecord:
    return SpanRecord("router", name, "t", name, parent, 1, began=began * MS, ended=ended * MS, **more)


def test_a_tree_is_in_the_order_of_time_with_what_is_ours() -> None:
    spans = [
        span("late", "whole", 3, 4, status=2, attributes={"error.type": "UNAVAILABLE"}),
        span("early", "whole", 1, 2, attributes={"inferloom.model": "digits", "inferloom.cancelled": True}),
        span("whole", "the caller's", 0, 5, attributes={"rpc.system": "grpc", "error.type": "NOT_FOUND"}),
    ]
    assert tree(spans).splitlines() == [
        "router  whole  internal  5.0 ms  NOT_FOUND",
        "  router  early  internal  1.0 ms  model=digits cancelled=true",
        "  router  late  internal  1.0 ms  ERROR UNAVAILABLE",
    ]


def test_an_outline_is_the_same_whoever_came_first() -> None:
    one = [span("whole"), span("a", "whole", 1), span("b", "whole", 2)]
    other = [span("b", "whole", 1), span("whole"), span("a", "whole", 2)]
    assert outline(one) == outline(other) == "router  whole  internal\n  router  a  internal\n  router  b  internal"
    assert tree([]) == outline([]) == ""


def test_jaeger_s_answer_is_read_as_ours_are() -> None:
    answer = {
        "data": [
            {
                "processes": {"p1": {"serviceName": "inferloom-router"}},
                "spans": [
                    {
                        "traceID": "t",
                        "spanID": "b",
                        "operationName": "batch wait",
                        "processID": "p1",
                        "references": [
                            {"refType": "CHILD_OF", "traceID": "t", "spanID": "a"},
                            {"refType": "FOLLOWS_FROM", "traceID": "u", "spanID": "c"},
                        ],
                        "startTime": 1_000,
                        "duration": 2_000,
                        "tags": [
                            {"key": "span.kind", "type": "string", "value": "client"},
                            {"key": "otel.status_code", "type": "string", "value": "ERROR"},
                            {"key": "otel.status_description", "type": "string", "value": "gone"},
                            {"key": "error", "type": "bool", "value": True},
                            {"key": "inferloom.batch_size", "type": "int64", "value": 3},
                        ],
                    }
                ],
            }
        ]
    }
    (found,) = records_of(answer)
    assert found == SpanRecord(
        "inferloom-router",
        "batch wait",
        "t",
        "b",
        "a",
        3,
        2,
        {"inferloom.batch_size": 3},
        (("u", "c"),),
        "gone",
        1_000_000,
        3_000_000,
    )
