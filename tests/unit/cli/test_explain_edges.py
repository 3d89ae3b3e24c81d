"""What routers and edges tell, put together."""

from __future__ import annotations

import pytest

from inferloom.cli.explain_edges import Edges, one_of, together
from inferloom.mesh.errors import ConfigError
from inferloom.v1 import explain_pb2 as pb


def told(request_id: str, at: float, process: str = "router", model: str = "iris") -> pb.Explanation:
    return pb.Explanation(request_id=request_id, time=at, process=process, model=model)


def test_the_newest_come_first_and_what_a_host_told_of_an_edges_request_is_left_out() -> None:
    answer = pb.ListRecentResponse(
        requests=[told("both", 4, "host-1"), told("both", 3), told("other", 2, "host-1"), told("old", 1)]
    )
    together(answer, [pb.ListRecentResponse(requests=[told("both", 4.5, "edge e")])], 3)
    assert [(each.request_id, each.process) for each in answer.requests] == [
        ("both", "edge e"),
        ("both", "router"),  # the same id, another request
        ("other", "host-1"),
    ]


def test_an_edges_request_has_what_the_host_tells_inside_of_it() -> None:
    found = one_of(told("r", 1, "host-1"), [told("r", 1, "edge e")])
    assert found is not None
    assert (found.process, found.inside.process) == ("edge e", "host-1")


def test_of_two_requests_with_one_id_the_newest_is_told() -> None:
    for router, edge, process in ((1, 2, "edge e"), (2, 1, "router")):
        found = one_of(told("r", router), [told("r", edge, "edge e")])
        assert found is not None
        assert found.process == process
        assert not found.HasField("inside")
    assert one_of(None, []) is None


def test_an_address_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="--control"):
        Edges("127.0.0.1:9091,nonsense")


async def test_a_control_plane_that_does_not_answer_is_named() -> None:
    answers, silent = await Edges("127.0.0.1:9").ask("ListRecent", pb.ListRecentRequest())
    assert answers == []
    assert silent == ["what Envoy sends to replicas itself is missing: no control plane answers at 127.0.0.1:9"]
