"""Which requests Envoy tells the control plane of."""

from __future__ import annotations

from typing import Any

from inferloom.mesh.xds.access_log_stories import SHARE, story_log
from inferloom.mesh.xds.response_flags import UNSEEN
from inferloom.mesh.xds.types import UNDECIDED, UNROUTED
from tests.support.static_edge import as_json


def parts(rule: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return list(rule[kind]["filters"])


def test_requests_that_the_router_tells_of_are_left_out_also_before_it_is_known_whether_they_are_traced() -> None:
    log = story_log()
    log.typed_config = None
    told, own, share = parts(as_json(log)["filter"], "and_filter")
    routed, unseen = parts(own, "or_filter")
    matchers = [each["header_filter"]["header"] for each in parts(routed, "and_filter")]
    assert {(each["string_match"]["exact"], each["invert_match"]) for each in matchers} == {
        (UNROUTED, True),
        (UNDECIDED, True),
    }
    assert unseen["response_flag_filter"]["flags"] == list(UNSEEN)
    assert len(parts(told, "or_filter")) == 4
    assert share["runtime_filter"]["runtime_key"] == SHARE
