from __future__ import annotations

from typing import Any

import pytest

from inferloom.mesh.errors import ConfigError
from inferloom.mesh.listen import Address
from inferloom.mesh.xds.edge_settings import EdgeSettings


def test_what_an_edge_says_of_itself_is_read_back() -> None:
    edge = EdgeSettings(listen=Address("0.0.0.0", 443), tls_cert="/c", tls_key="/k", zone="eu/a", access_log="all")
    assert EdgeSettings().from_node(edge.node()) == edge


def test_router_and_tokens_are_the_control_planes_to_say() -> None:
    control = EdgeSettings(router="10.0.0.1:1", http="10.0.0.1:2", tokens=("t",))
    said = {"inferloom": {"router": "6.6.6.6:6", "tokens": [], "max_message": 2.0 * (1 << 20)}}
    found = control.from_node(said)
    assert (found.router, found.tokens, found.max_message) == ("10.0.0.1:1", ("t",), 2 << 20)


def test_a_node_that_says_nothing_gets_the_defaults() -> None:
    assert EdgeSettings().from_node({}) == EdgeSettings()


@pytest.mark.parametrize(
    ("said", "place"),
    [
        ({"inferloom": "x"}, "metadata"),
        ({"inferloom": {"listen": "nowhere"}}, "listen"),
        ({"inferloom": {"tls_cert": "/c"}}, "tls_key"),
        ({"inferloom": {"tls_client_ca": "/c"}}, "tls_client_ca"),
        ({"inferloom": {"access_log": "some"}}, "access_log"),
        ({"inferloom": {"max_message": "big"}}, "max_message"),
        ({"inferloom": {"max_message": 3}}, "max_message"),
    ],
)
def test_a_wrong_one_is_refused_with_its_name(said: dict[str, Any], place: str) -> None:
    with pytest.raises(ConfigError, match=place):
        EdgeSettings().from_node(said)
