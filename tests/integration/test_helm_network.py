"""Who may reach what: NetworkPolicies, beside the ports that pods open."""

from __future__ import annotations

from typing import Any

from tests.integration.test_helm_pods import one_model
from tests.support.helm import MATRIX, render

MESH = {"app.kubernetes.io/name": "inferloom", "app.kubernetes.io/instance": "mesh"}
ROLES = ["edge", "router", "host", "composer", "documents"]
FREE = [32768, 60999]  # where Linux takes ports from that a process leaves to it


def opened(values: dict[str, Any], component: str) -> dict[Any, Any]:
    """Who may reach which port of a component's pods; None: everybody."""
    found: dict[Any, Any] = {}
    for rule in render(values).one("NetworkPolicy", f"mesh-inferloom-{component}")["spec"]["ingress"]:
        for port in rule["ports"]:
            found.setdefault((port["port"], port.get("endPort", port["port"])), []).append(rule.get("from"))
    return found


def test_only_roles_of_the_mesh_and_named_callers_reach_tritons_ports() -> None:
    expression = {"key": "app.kubernetes.io/component", "operator": "In", "values": ROLES}
    roles = {"podSelector": {"matchLabels": MESH, "matchExpressions": [expression]}}
    caller = {"podSelector": {"matchLabels": {"app": "envoy"}}}
    assert opened(one_model(), "model")[8001, 8001] == [[roles]]
    assert opened(one_model() | {"networkPolicy": {"callers": [caller]}}, "model")[8001, 8001] == [[roles, caller]]
    assert render({"networkPolicy": {"enabled": False}}).all("NetworkPolicy") == []


def test_clients_go_by_the_edge_where_there_is_one() -> None:
    clients = {"networkPolicy": {"clients": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}}
    edge = {"podSelector": {"matchLabels": {**MESH, "app.kubernetes.io/component": "edge"}}}
    assert opened(clients, "edge")[8081, 8081] == [clients["networkPolicy"]["clients"]]
    assert opened(clients, "router") == {(8081, 8081): [[edge]], (8080, 8080): [[edge]]}
    alone = clients | {"edge": {"enabled": False}}
    assert opened(alone, "router")[8081, 8081] == [clients["networkPolicy"]["clients"]]
    assert opened({}, "edge") == {(8081, 8081): [None]}


def test_consul_reaches_what_it_checks_and_nothing_else() -> None:
    consul = [{"ipBlock": {"cidr": "10.9.0.0/16"}}]
    values = one_model() | {"networkPolicy": {"consul": consul}, "hosts": {"rank": {"source": "app.py"}}}
    assert [port for port, peers in opened(values, "model").items() if consul in peers] == [(9102, 9102)]
    assert [port for port, peers in opened(values, "host").items() if consul in peers] == [(8081, 8081)]
    own = opened(values | {"networkPolicy": {}, "consul-agent": {"enabled": True}}, "model")[9102, 9102]
    (agent,) = render({"consul-agent": {"enabled": True}}).all("StatefulSet")
    labels = agent["spec"]["template"]["metadata"]["labels"]
    assert own == [[{"podSelector": {"matchLabels": labels}}]]


def test_every_port_of_every_pod_is_open_to_somebody_and_no_policy_opens_another() -> None:
    values = MATRIX["network policy with peers"] | {
        "composer": {"enabled": True},
        "hosts": {"rank": {"source": "a.py"}},
    }
    values |= {"consul-agent": {"enabled": True}, "documents": [{"kind": "split", "name": "s", "spec": {}}]}
    rendered = render(values)
    policies = rendered.all("NetworkPolicy")
    pods = [o["spec"]["template"] for o in rendered.objects if o["kind"] in ("Deployment", "StatefulSet", "Job")]
    for pod in pods:
        spec, labels = pod["spec"], pod["metadata"]["labels"]
        for_it = [p for p in policies if p["spec"]["podSelector"]["matchLabels"].items() <= labels.items()]
        assert len(for_it) == 1, labels
        ports = {
            port["containerPort"]
            for each in [*spec.get("initContainers", []), *spec["containers"]]
            for port in each.get("ports", ())
        }
        allowed = [port for rule in for_it[0]["spec"]["ingress"] for port in rule["ports"]]
        chosen = [[p["port"], p["endPort"]] for p in allowed if "endPort" in p]
        assert {p["port"] for p in allowed if "endPort" not in p} == ports
        assert chosen == (
            [FREE]
            if labels["app.kubernetes.io/name"] == "inferloom" and spec["containers"][0]["name"] == "host"
            else []
        )


def test_what_is_not_watched_is_closed_to_watchers() -> None:
    for component in ("edge", "router", "model"):
        assert (9100, 9100) not in opened(one_model(), component)
