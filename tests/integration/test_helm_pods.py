"""What the pods promise: the order of an ending, devices, security, and no secret where it can be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from inferloom.mesh.registry.consul.settings import ConsulSettings
from inferloom.sidecar.flags import flags
from tests.support.helm import MATRIX, container, render

REPOSITORY = {"pvc": "models"}
DIGITS = "mesh-inferloom-model-digits"
ROUTER = "mesh-inferloom-router"


def one_model(**keys: Any) -> dict[str, Any]:
    return {"models": {"digits": {"repository": REPOSITORY, **keys}}}


def flag(args: list[str], name: str) -> list[str]:
    """The values given to a flag, in order."""
    return [arg.partition("=")[2] for arg in args if arg.partition("=")[0] == name]


@pytest.mark.parametrize("drain", [1, 30, 600])
def test_kubernetes_waits_longer_than_the_drain(drain: int) -> None:
    values = one_model(exitTimeoutSeconds=20) | {
        "router": {"drainTimeoutSeconds": drain, "endpointLagSeconds": 7},
        "sidecar": {"drainTimeoutSeconds": drain},
    }
    rendered = render(values)
    router, model = rendered.pod(ROUTER), rendered.pod(DIGITS)
    assert flag(container(router, "router")["args"], "--drain-timeout") == [str(drain)]
    assert flag(container(model, "sidecar")["args"], "--drain-timeout") == [str(drain)]
    assert container(router, "router")["lifecycle"]["preStop"]["sleep"]["seconds"] == 7
    assert flag(container(model, "triton")["args"], "--exit-timeout-secs") == ["20"]
    assert router["terminationGracePeriodSeconds"] > drain + 7
    assert model["terminationGracePeriodSeconds"] > drain + 20


def test_triton_starts_before_its_sidecar_and_is_stopped_after_it() -> None:
    pod = render(one_model()).pod(DIGITS)
    assert [c["name"] for c in pod["initContainers"]] == ["triton"]
    assert pod["initContainers"][0]["restartPolicy"] == "Always"
    assert [c["name"] for c in pod["containers"]] == ["sidecar"]


def test_a_model_with_two_gpus_asks_for_two() -> None:
    pod = render(one_model(gpus=2)).pod(DIGITS)
    limits = container(pod, "triton")["resources"]["limits"]
    assert limits == {"memory": "4Gi", "nvidia.com/gpu": 2}
    assert "nvidia.com/gpu" not in container(pod, "sidecar")["resources"]["limits"]


def test_triton_loads_the_entrys_model_unless_told_what_else() -> None:
    def loaded(**keys: Any) -> list[str]:
        return flag(container(render(one_model(**keys)).pod(DIGITS), "triton")["args"], "--load-model")

    assert loaded() == ["digits"]
    assert loaded(load=["digits-svm", "digits-mlp"]) == ["digits-svm", "digits-mlp"]
    assert loaded(load=["*"]) == ["*"]


def test_triton_has_the_grpc_options_that_a_managed_one_has() -> None:
    managed = flags(repository="", backend_directory=None, http_port=0, grpc_port=0, metrics_port=0, host="")
    own = {option for option in managed if option.startswith(("--grpc-keepalive-", "--grpc-http2-"))}
    assert own
    assert own <= set(container(render(one_model()).pod(DIGITS), "triton")["args"])


def test_a_models_true_name_reaches_triton_and_an_annotation() -> None:
    deployment = render({"models": {"Iris_v1.5": {"repository": REPOSITORY}}}).one(
        "Deployment", "mesh-inferloom-model-iris-v1-5"
    )
    template = deployment["spec"]["template"]
    assert template["metadata"]["annotations"]["inferloom/model"] == "Iris_v1.5"
    assert flag(container(template["spec"], "triton")["args"], "--load-model") == ["Iris_v1.5"]


def test_shared_memory_and_the_repository_are_mounted_as_asked() -> None:
    values = one_model(repository={"pvc": "weights", "subPath": "team-a"}, shmSize="2Gi")
    pod = render(values).pod(DIGITS)
    volumes = {v["name"]: v for v in pod["volumes"]}
    mounts = {m["name"]: m for m in container(pod, "triton")["volumeMounts"]}
    assert volumes["shm"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "2Gi"}
    assert mounts["shm"]["mountPath"] == "/dev/shm"
    assert volumes["models"]["persistentVolumeClaim"] == {"claimName": "weights", "readOnly": True}
    assert mounts["models"] == {"name": "models", "mountPath": "/models", "subPath": "team-a", "readOnly": True}


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX.keys())
def test_every_pod_keeps_to_the_restricted_profile(values: dict[str, Any]) -> None:
    for pod in render(values).pods():
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for each in [*pod.get("initContainers", []), *pod["containers"]]:
            assert each["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"/tmp"} <= {m["mountPath"] for m in each["volumeMounts"]}
            assert set(each["resources"]["requests"]) & {"cpu", "memory"}
            assert "livenessProbe" in each


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX.keys())
def test_every_volume_that_is_mounted_exists_and_is_used(values: dict[str, Any]) -> None:
    for pod in render(values).pods():
        mounted = {m["name"] for c in [*pod.get("initContainers", []), *pod["containers"]] for m in c["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_readiness_and_liveness_are_the_admin_faces() -> None:
    rendered = render(one_model())
    for pod, name, port in ((ROUTER, "router", 9100), (DIGITS, "sidecar", 9101)):
        each = container(rendered.pod(pod), name)
        assert each["readinessProbe"]["httpGet"] == {"path": "/ready", "port": "admin"}
        assert each["livenessProbe"]["httpGet"] == {"path": "/live", "port": "admin"}
        assert {"name": "admin", "containerPort": port} in each["ports"]
        assert flag(each["args"], "--admin") == [f"0.0.0.0:{port}"]


def test_secrets_are_named_and_never_copied() -> None:
    rendered = render(MATRIX["TLS and tokens"])
    assert {found["kind"] for found in rendered.objects}.isdisjoint({"Secret", "ConfigMap"})
    router, model = rendered.pod(ROUTER), rendered.pod(DIGITS)
    for pod, name in ((router, "router"), (model, "sidecar")):
        env = {e["name"]: e for e in container(pod, name)["env"]}
        assert env["CONSUL_HTTP_TOKEN"]["valueFrom"] == {"secretKeyRef": {"name": "consul", "key": "acl"}}
        assert env["CONSUL_HTTP_SSL"]["value"] == "true"
        volumes = {v["name"]: v for v in pod["volumes"]}
        assert volumes["consul-ca"]["secret"]["items"] == [{"key": "tls.crt", "path": "ca.crt"}]
        assert flag(container(pod, name)["args"], "--registry") == ["consul://consul.internal:8501"]
    assert "CONSUL" not in json.dumps(container(model, "triton"))


def test_consuls_settings_are_those_that_the_mesh_reads(tmp_path: Path) -> None:
    authority = tmp_path / "ca.crt"
    authority.touch()
    sidecar = container(render(MATRIX["TLS and tokens"]).pod(DIGITS), "sidecar")
    env = {e["name"]: e.get("value", "from outside") for e in sidecar["env"]}
    assert env["CONSUL_CACERT"] in {f"{m['mountPath']}/ca.crt" for m in sidecar["volumeMounts"]}
    env["CONSUL_CACERT"] = str(authority)
    (registry,) = flag(sidecar["args"], "--registry")
    settings = ConsulSettings.from_environment(env, registry)
    assert (settings.scheme, settings.host, settings.port) == ("https", "consul.internal", 8501)
    assert (settings.token, settings.ca) == ("from outside", authority)


def test_the_routers_token_is_a_file() -> None:
    router = render(MATRIX["TLS and tokens"]).pod(ROUTER)
    assert flag(container(router, "router")["args"], "--token-file") == ["/etc/inferloom/token/token"]


def test_a_budget_for_disruptions_exists_where_there_is_more_than_one_replica() -> None:
    budgets = {b["metadata"]["name"] for b in render(one_model(replicas=1)).all("PodDisruptionBudget")}
    assert budgets == {ROUTER}
    budgets = {b["metadata"]["name"] for b in render(one_model(replicas=2)).all("PodDisruptionBudget")}
    assert budgets == {ROUTER, DIGITS}
    assert render({"router": {"replicas": 1}}).all("PodDisruptionBudget") == []


def test_only_routers_and_named_callers_reach_tritons_ports() -> None:
    def reach(values: dict[str, Any]) -> list[Any]:
        policy = render(values).one("NetworkPolicy", "mesh-inferloom-models")
        (rule,) = [r for r in policy["spec"]["ingress"] if {"port": 8001} in r["ports"]]
        peers: list[Any] = rule["from"]
        return peers

    router = {"app.kubernetes.io/name": "inferloom", "app.kubernetes.io/instance": "mesh"}
    routers = {"podSelector": {"matchLabels": {**router, "app.kubernetes.io/component": "router"}}}
    caller = {"podSelector": {"matchLabels": {"app": "envoy"}}}
    assert reach(one_model()) == [routers]
    assert reach(one_model() | {"networkPolicy": {"callers": [caller]}}) == [routers, caller]
    assert render({"networkPolicy": {"enabled": False}}).all("NetworkPolicy") == []


def test_ports_in_network_policies_are_ports_of_the_pods() -> None:
    rendered = render(one_model() | MATRIX["network policy with peers"])
    for policy, deployment in (("mesh-inferloom-models", DIGITS), (ROUTER, ROUTER)):
        pod = rendered.pod(deployment)
        ports = {p["containerPort"] for c in [*pod.get("initContainers", []), *pod["containers"]] for p in c["ports"]}
        rules = rendered.one("NetworkPolicy", policy)["spec"]["ingress"]
        assert {p["port"] for rule in rules for p in rule["ports"]} == ports
