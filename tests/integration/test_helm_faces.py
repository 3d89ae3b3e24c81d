"""What clients reach: the Service, and the routes that lead to it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.helm import MATRIX, Rendered, render

ALONE = {"edge": {"enabled": False}}
PORTS = {"service": {"grpcPort": 443, "httpPort": 80}}


def test_clients_reach_the_edge_where_there_is_one_and_else_the_routers() -> None:
    def face(values: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        spec = render(values).one("Service", "mesh-inferloom")["spec"]
        return spec["selector"]["app.kubernetes.io/component"], {p["name"]: p["targetPort"] for p in spec["ports"]}

    assert face({}) == ("edge", {"grpc": "face", "http": "face"})
    assert face(MATRIX["no edge"]) == ("router", {"grpc": "grpc", "http": "http"})
    assert face(MATRIX["no edge, TLS and tokens"]) == ("router", {"grpc": "grpc"})


@pytest.mark.parametrize("values", [{}, ALONE, PORTS], ids=["edge", "router", "other ports"])
def test_routes_lead_to_a_port_of_the_service_and_on_to_one_that_its_pods_open(values: dict[str, Any]) -> None:
    rendered = render(MATRIX["routes"] | values)
    faces = {"GRPCRoute": "grpc", "HTTPRoute": "http"}
    for kind, face in faces.items():
        (route,) = rendered.all(kind)
        (rule,) = route["spec"]["rules"]
        (backend,) = rule["backendRefs"]
        assert route["metadata"]["namespace"] == "prod"  # a backend of another would need a ReferenceGrant
        assert reached(rendered, backend["name"], backend["port"]) == face
    ingresses = {each["metadata"]["name"]: each["spec"] for each in rendered.all("Ingress")}
    assert ingresses.keys() == {f"mesh-inferloom-{face}" for face in faces.values()}
    for name, spec in ingresses.items():
        for rule in spec["rules"]:
            (path,) = rule["http"]["paths"]
            service = path["backend"]["service"]
            assert f"mesh-inferloom-{reached(rendered, service['name'], service['port']['name'])}" == name


def reached(rendered: Rendered, service: str, port: int | str) -> str:
    """The name of a Service's port, given by name or number, whose target is a port of every pod it selects."""
    spec = rendered.one("Service", service)["spec"]
    (found,) = [each for each in spec["ports"] if port in (each["name"], each["port"])]
    templates = [each["spec"]["template"] for each in rendered.all("Deployment")]
    selected = [each for each in templates if spec["selector"].items() <= each["metadata"]["labels"].items()]
    assert selected
    for template in selected:
        opened = [p["name"] for each in template["spec"]["containers"] for p in each["ports"]]
        assert found["targetPort"] in opened
    return str(found["name"])
