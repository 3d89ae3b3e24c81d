"""What the pods promise: the order of an ending, devices, security, and no secret where it can be read."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from inferloom.mesh.listen import parse_address
from inferloom.mesh.registry.consul.settings import ConsulSettings
from inferloom.sidecar.flags import flags
from tests.support.helm import MATRIX, container, render

REPOSITORY = {"pvc": "models"}
DIGITS = "mesh-inferloom-model-digits"
ROUTER = "mesh-inferloom-router"
EDGE = "mesh-inferloom-edge"
RANK = "mesh-inferloom-host-rank"


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
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert f"http://{admin}/" in edge[probe]["exec"]["command"][-1]


def test_models_from_s3_are_fetched_and_checked_before_triton_starts() -> None:
    rendered = render(MATRIX["models from S3"])
    pod = rendered.pod(DIGITS)
    fetch, triton = pod["initContainers"]
    assert "restartPolicy" not in fetch
    assert triton["name"] == "triton"
    assert fetch["args"][0].rstrip().endswith("sha256sum --check --quiet --strict /etc/inferloom/checksums/SHA256SUMS")
    sums = rendered.one("ConfigMap", DIGITS)["data"]["SHA256SUMS"]
    assert sums == f"{'b' * 64}  digits/1/model.onnx\n{'a' * 64}  digits/config.pbtxt\n"
    assert {e["name"]: e["value"] for e in fetch["env"]}["SOURCE"] == "s3://bucket/prefix"
    assert fetch["envFrom"] == [{"secretRef": {"name": "s3-reader"}}]


def test_the_script_that_fetches_takes_what_is_right_and_refuses_what_is_not(tmp_path: Path) -> None:
    fetch = render(MATRIX["models from S3"]).pod(DIGITS)["initContainers"][0]
    (tmp_path / "bin").mkdir()
    (tmp_path / "bucket" / "digits" / "1").mkdir(parents=True)
    content = {"digits/config.pbtxt": b"name", "digits/1/model.onnx": b"weights"}
    for path, data in content.items():
        (tmp_path / "bucket" / path).write_bytes(data)
    (tmp_path / "bucket" / "digits" / "1" / "model.py").write_bytes(b"not in the list")
    fake = tmp_path / "bin" / "aws"  # as `aws s3 cp --only-show-errors FROM TO`
    fake.write_text('#!/bin/sh\nmkdir -p "$(dirname "$5")"\nexec cp "$4" "$5"\n')
    fake.chmod(0o755)
    sums = tmp_path / "SHA256SUMS"
    script = fetch["args"][0].replace("/etc/inferloom/checksums/SHA256SUMS", str(sums))

    def run(into: str, wrong: str = "") -> subprocess.CompletedProcess[bytes]:
        digests = {path: hashlib.sha256(data).hexdigest() for path, data in content.items()}
        sums.write_text("".join(f"{'0' * 64 if path == wrong else it}  {path}\n" for path, it in digests.items()))
        (tmp_path / into).mkdir()
        text = script.replace("cd /models", f"cd {tmp_path / into}")
        env = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "SOURCE": str(tmp_path / "bucket")}
        return subprocess.run([*fetch["command"], text], env=env, capture_output=True, check=False)

    assert run("good").returncode == 0
    found = {str(p.relative_to(tmp_path / "good")) for p in (tmp_path / "good").rglob("*") if p.is_file()}
    assert found == content.keys()
    refused = run("bad", wrong="digits/1/model.onnx")
    assert refused.returncode != 0
    assert b"digits/1/model.onnx: FAILED" in refused.stdout


def test_models_from_an_image_are_copied_by_name() -> None:
    fetch = render(MATRIX["models from an image"]).pod(DIGITS)["initContainers"][0]
    assert fetch["image"] == "registry.example/shop:4f1d2a9b03c7"
    assert [*fetch["command"], *fetch["args"]] == ["cp", "-R", "/srv/models/digits", "/models/"]


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


def test_another_content_is_another_job_and_the_same_content_the_same() -> None:
    def name(share: int) -> str:
        split = {"kind": "split", "name": "a", "spec": {"arms": [{"name": "1", "share": share}]}}
        (job,) = render({"documents": [split]}).all("Job")
        return str(job["metadata"]["name"])

    assert name(1) == name(1) != name(2)


def test_who_is_scaled_by_something_else_has_no_number_of_replicas() -> None:
    rendered = render(MATRIX["values-production.yaml"])
    for name in (EDGE, ROUTER, f"{DIGITS}-svm", "mesh-inferloom-composer"):
        assert "replicas" not in rendered.one("Deployment", name)["spec"]
    assert rendered.one("Deployment", "mesh-inferloom-model-llm")["spec"]["replicas"] == 2
    targets = {s["spec"]["scaleTargetRef"]["name"] for s in rendered.all("ScaledObject")}
    assert targets == {ROUTER, f"{DIGITS}-svm", "mesh-inferloom-composer"}
    trigger = rendered.one("ScaledObject", f"{DIGITS}-svm")["spec"]["triggers"][0]["metadata"]
    assert trigger["query"] == 'sum(inferloom_triton_pending{namespace="prod",model=~"digits-svm"})'
    (hpa,) = rendered.all("HorizontalPodAutoscaler")
    assert hpa["spec"]["scaleTargetRef"]["name"] == EDGE


def test_spans_go_to_the_given_place_and_nowhere_by_default() -> None:
    def env(values: dict[str, Any]) -> dict[str, Any]:
        return {e["name"]: e.get("value") for e in container(render(values).pod(ROUTER), "router")["env"]}

    assert not [name for name in env({}) if name.startswith("OTEL_")]
    seen = env(MATRIX["seen"])
    assert seen["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://jaeger:4317"
    assert seen["OTEL_TRACES_SAMPLER_ARG"] == "0.05"
    triton = container(render(MATRIX["seen"]).pod(DIGITS), "triton")["args"]
    assert flag(triton, "--trace-config") == [
        "mode=opentelemetry",
        "opentelemetry,url=http://jaeger:4318/v1/traces",
        "level=TIMESTAMPS",
        "rate=20",
    ]


def test_clients_reach_the_edge_where_there_is_one_and_else_the_routers() -> None:
    def face(values: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        spec = render(values).one("Service", "mesh-inferloom")["spec"]
        return spec["selector"]["app.kubernetes.io/component"], {p["name"]: p["targetPort"] for p in spec["ports"]}

    assert face({}) == ("edge", {"grpc": "face", "http": "face"})
    assert face(MATRIX["no edge"]) == ("router", {"grpc": "grpc", "http": "http"})
    assert face(MATRIX["no edge, TLS and tokens"]) == ("router", {"grpc": "grpc"})


def test_prometheus_finds_every_role_and_every_triton() -> None:
    rendered = render(MATRIX["seen"])
    monitors = rendered.all("ServiceMonitor")
    assert {m["metadata"]["labels"]["release"] for m in monitors} == {"prometheus"}
    services = {s["metadata"]["name"]: s for s in rendered.all("Service")}
    for monitor in monitors:
        wanted = monitor["spec"]["selector"]["matchLabels"].items()
        found = [s for s in services.values() if wanted <= s["metadata"]["labels"].items()]
        assert [s["metadata"]["name"] for s in found] == [monitor["metadata"]["name"]]
    selected = services["mesh-inferloom-metrics"]["spec"]["selector"].items()
    for deployment in rendered.all("Deployment"):
        assert selected <= deployment["spec"]["template"]["metadata"]["labels"].items()


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
    for found in render(values).all("ConfigMap"):
        assert found["data"].keys() <= {"SHA256SUMS", "documents.json"}
        assert not re.search(r"token|password|secret|AWS_", json.dumps(found["data"]), re.IGNORECASE)


def test_a_budget_for_disruptions_exists_where_there_is_more_than_one_replica() -> None:
    budgets = {b["metadata"]["name"] for b in render(one_model(replicas=1)).all("PodDisruptionBudget")}
    assert budgets == {ROUTER, EDGE}
    budgets = {b["metadata"]["name"] for b in render(one_model(replicas=2)).all("PodDisruptionBudget")}
    assert budgets == {ROUTER, EDGE, DIGITS}
    assert render({"router": {"replicas": 1}, "edge": {"replicas": 1}}).all("PodDisruptionBudget") == []


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
