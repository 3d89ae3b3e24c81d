"""What the pods promise: the order of an ending, devices, security, and no secret where it can be read."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from inferloom.mesh.listen import parse_address
from inferloom.mesh.registry.consul.settings import ConsulSettings
from inferloom.sidecar.flags import flags, trace_flags
from tests.support.helm import CHART, MATRIX, container, render

REPOSITORY = {"pvc": "models"}
DIGITS = "mesh-inferloom-model-digits"
ROUTER = "mesh-inferloom-router"
EDGE = "mesh-inferloom-edge"
RANK = "mesh-inferloom-host-rank"
TRACING = {"endpoint": "http://jaeger:4317", "tritonEndpoint": "http://jaeger:4318/v1/traces", "ratio": 0.05}
OTEL = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://jaeger:4317",
    "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
    "OTEL_TRACES_SAMPLER_ARG": "0.05",
    "OTEL_RESOURCE_ATTRIBUTES": "k8s.pod.name=$(POD_NAME),k8s.namespace.name=prod",
}


def one_model(**keys: Any) -> dict[str, Any]:
    return {"models": {"digits": {"repository": REPOSITORY, **keys}}}


def flag(args: list[str], name: str) -> list[str]:
    """The values given to a flag, in order."""
    return [arg.partition("=")[2] for arg in args if arg.partition("=")[0] == name]


@pytest.mark.parametrize("drain", [1, 30, 600])
def test_kubernetes_waits_longer_than_the_drain(drain: int) -> None:
    values = one_model(exitTimeoutSeconds=20) | {
        "router": {"drainTimeoutSeconds": drain},
        "edge": {"drainTimeoutSeconds": drain},
        "endpointLagSeconds": 7,
        "sidecar": {"drainTimeoutSeconds": drain},
        "hosts": {"rank": {"source": "app.py", "drainTimeoutSeconds": drain}},
    }
    rendered = render(values)
    router, model, edge, host = (rendered.pod(name) for name in (ROUTER, DIGITS, EDGE, RANK))
    assert flag(container(edge, "edge")["args"], "--drain-timeout") == [str(drain)]
    assert flag(container(host, "host")["args"], "--drain-timeout") == [str(drain)]
    assert container(edge, "edge")["lifecycle"]["preStop"]["sleep"]["seconds"] == 7
    assert edge["terminationGracePeriodSeconds"] > drain + 7
    assert host["terminationGracePeriodSeconds"] > drain + 1
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


def test_the_control_plane_is_there_before_its_edge_and_ends_after_it() -> None:
    pod = render().pod(EDGE)
    (control,) = pod["initContainers"]
    assert (control["name"], control["restartPolicy"]) == ("control", "Always")
    assert [c["name"] for c in pod["containers"]] == ["edge"]
    (told,) = flag(control["args"], "--grpc")
    assert flag(pod["containers"][0]["args"], "--control") == [told] == ["127.0.0.1:9091"]


def test_what_is_on_loopback_is_asked_from_within_the_pod() -> None:
    edge = container(render().pod(EDGE), "edge")
    (admin,) = flag(edge["args"], "--admin")
    assert parse_address(admin, "--admin").loopback
    host, port = admin.split(":")
    for probe, path in (("startupProbe", "/ready"), ("livenessProbe", "/server_info"), ("readinessProbe", "/ready")):
        assert f'admin.connect(("{host}", {port}))' in edge[probe]["exec"]["command"][-1]
        assert f"GET {path} HTTP/1.1" in edge[probe]["exec"]["command"][-1]


def test_a_host_runs_its_services_and_the_composer_the_pipelines() -> None:
    rendered = render(MATRIX["hosts and pipelines"])
    host = container(rendered.pod("mesh-inferloom-host-checkout"), "host")
    assert host["image"] == "registry.example/shop:4f1d2a9b03c7"
    assert host["args"][:3] == ["host", "app.py", "--only=Checkout"]
    assert {"name": "MODE", "value": "live"} in host["env"]
    composer = container(rendered.pod("mesh-inferloom-composer"), "host")
    assert composer["args"][:4] == ["host", "app.py", "--no-services", "--pipelines"]
    rank = container(rendered.pod(RANK), "host")
    assert rank["resources"]["limits"]["nvidia.com/mig-1g.10gb"] == 1


def test_documents_are_written_by_a_job_with_the_functions_that_pipelines_name() -> None:
    rendered = render(MATRIX["hosts and pipelines"])
    (job,) = rendered.all("Job")
    (apply,) = job["spec"]["template"]["spec"]["containers"]
    assert apply["image"] == "registry.example/shop:4f1d2a9b03c7"
    assert flag(apply["args"], "--source") == ["app.py"]
    text = rendered.one("ConfigMap", job["metadata"]["name"])["data"]["documents.json"]
    assert json.loads(text) == MATRIX["hosts and pipelines"]["documents"]
    assert "ttlSecondsAfterFinished" not in job["spec"]  # or an upgrade would make it anew, and run it again


def test_another_content_is_another_job_and_the_same_content_the_same() -> None:
    def name(share: int) -> str:
        split = {"kind": "split", "name": "a", "spec": {"arms": [{"name": "1", "share": share}]}}
        (job,) = render({"documents": [split]}).all("Job")
        return str(job["metadata"]["name"])

    assert name(1) == name(1) != name(2)


def test_spans_of_every_role_go_to_the_given_place_and_nowhere_by_default() -> None:
    everything = MATRIX["hosts and pipelines"]
    for values, expected in ((everything, {}), (everything | {"tracing": TRACING}, OTEL)):
        rendered = render(values)
        kept = ("triton", "fetch")  # which are not the mesh's
        own = [c for pod in rendered.pods() for c in [*pod.get("initContainers", []), *pod["containers"]]]
        roles = [c["name"] for c in own if c["name"] not in kept]
        assert set(roles) == {"edge", "control", "router", "host", "sidecar", "apply"}
        for each in own:
            env = {e["name"]: e.get("value") for e in each["env"] if e["name"].startswith("OTEL_")}
            assert env == (expected if each["name"] in roles else {}), each["name"]
    triton = container(render(everything | {"tracing": TRACING}).pod(DIGITS), "triton")["args"]
    assert [arg for arg in triton if arg.startswith("--trace-config")] == trace_flags("http://jaeger:4318/v1/traces")


def test_a_model_with_two_gpus_asks_for_two() -> None:
    pod = render(one_model(gpus=2)).pod(DIGITS)
    limits = container(pod, "triton")["resources"]["limits"]
    assert limits == {"memory": "4Gi", "nvidia.com/gpu": 2}
    assert "nvidia.com/gpu" not in container(pod, "sidecar")["resources"]["limits"]


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
            assert {"/tmp"} <= {m["mountPath"] for m in each["volumeMounts"]} or each["name"] == "fetch"
            assert set(each["resources"]["requests"]) & {"cpu", "memory"}
            ends = each["name"] in ("fetch", "apply")  # by itself
            assert ("livenessProbe" in each) is not ends


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX.keys())
def test_every_volume_that_is_mounted_exists_and_is_used(values: dict[str, Any]) -> None:
    for pod in render(values).pods():
        mounted = {m["name"] for c in [*pod.get("initContainers", []), *pod["containers"]] for m in c["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]} | (
            {"data"} & mounted
        )  # data: a claim of its own


def test_readiness_and_liveness_are_the_admin_faces() -> None:
    rendered = render(one_model())
    for pod, name, port in ((ROUTER, "router", 9100), (DIGITS, "sidecar", 9100), (EDGE, "control", 9100)):
        each = container(rendered.pod(pod), name)
        assert each["readinessProbe"]["httpGet"] == {"path": "/ready", "port": "admin"}
        assert each["livenessProbe"]["httpGet"] == {"path": "/live", "port": "admin"}
        assert {"name": "admin", "containerPort": port} in each["ports"]
        assert flag(each["args"], "--admin") == [f"0.0.0.0:{port}"]


def test_secrets_are_named_and_never_copied() -> None:
    rendered = render(MATRIX["no edge, TLS and tokens"])
    assert rendered.all("Secret") == rendered.all("ConfigMap") == []
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
    sidecar = container(render(MATRIX["no edge, TLS and tokens"]).pod(DIGITS), "sidecar")
    env = {e["name"]: e.get("value", "from outside") for e in sidecar["env"]}
    assert env["CONSUL_CACERT"] in {f"{m['mountPath']}/ca.crt" for m in sidecar["volumeMounts"]}
    env["CONSUL_CACERT"] = str(authority)
    (registry,) = flag(sidecar["args"], "--registry")
    settings = ConsulSettings.from_environment(env, registry)
    assert (settings.scheme, settings.host, settings.port) == ("https", "consul.internal", 8501)
    assert (settings.token, settings.ca) == ("from outside", authority)


def test_tokens_are_files_of_secrets_for_router_and_control_plane_alike() -> None:
    auth = {"tokenSecret": {"name": "callers", "key": "c"}, "writeTokenSecret": {"name": "writers", "key": "w"}}
    rendered = render({"auth": auth})
    for pod, name in ((rendered.pod(ROUTER), "router"), (rendered.pod(EDGE), "control")):
        args = container(pod, name)["args"]
        assert flag(args, "--token-file") == ["/etc/inferloom/auth/token"]
        assert flag(args, "--write-token-file") == ["/etc/inferloom/auth/write-token"]
        (volume,) = [v for v in pod["volumes"] if v["name"] == "auth"]
        assert volume["projected"]["sources"] == [
            {"secret": {"name": "callers", "items": [{"key": "c", "path": "token"}]}},
            {"secret": {"name": "writers", "items": [{"key": "w", "path": "write-token"}]}},
        ]


@pytest.mark.parametrize("values", MATRIX.values(), ids=MATRIX.keys())
def test_no_config_map_holds_a_secret(values: dict[str, Any]) -> None:
    dashboards = {path.name for path in (CHART / "files" / "dashboards").iterdir()}
    for found in render(values).all("ConfigMap"):
        if found["metadata"]["labels"]["app.kubernetes.io/component"] == "dashboards":
            assert found["data"].keys() == dashboards  # copies, as test_helm_monitoring.py says
            continue
        assert found["data"].keys() <= {"SHA256SUMS", "documents.json"}
        assert not re.search(r"token|password|secret|AWS_", json.dumps(found["data"]), re.IGNORECASE)
