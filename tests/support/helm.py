"""The chart, rendered by the real Helm and checked against Kubernetes' own schemas. No cluster, no network."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import helm_python
import jsonschema  # type: ignore[import-untyped]
import kubernetes_validate
import kubernetes_validate.utils
import yaml

__all__ = ["CHART", "MATRIX", "SIZES", "Rendered", "container", "lint", "refusal", "render"]

CHART = Path(__file__).parents[2] / "helm" / "inferloom"
CRDS = Path(__file__).parents[1] / "data" / "crds"
OLDEST, NEWEST = "1.30", "1.37"  # the chart's kubeVersion, and the newest schemas there are

Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# It reads megabytes of schemas anew for every object, and changes nothing in them.
kubernetes_validate.utils.schema_contents = functools.cache(kubernetes_validate.utils.schema_contents)

Object = dict[str, Any]
Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rendered:
    """A release's objects, in Helm's order, and the notes it prints."""

    objects: tuple[Object, ...]
    notes: str

    def all(self, kind: str) -> list[Object]:
        return [found for found in self.objects if found["kind"] == kind]

    def one(self, kind: str, name: str) -> Object:
        """The object of that kind and name; an error that lists what there is otherwise."""
        known = {found["metadata"]["name"]: found for found in self.all(kind)}
        assert name in known, f"no {kind} '{name}'; there are {sorted(known)}"
        return known[name]

    def pods(self) -> Iterator[Object]:
        """The pod template's spec of everything that has one."""
        for found in self.objects:
            if found["kind"] in ("Deployment", "StatefulSet", "Job"):
                yield found["spec"]["template"]["spec"]

    def pod(self, deployment: str) -> Object:
        spec: Object = self.one("Deployment", deployment)["spec"]["template"]["spec"]
        return spec


def container(pod: Object, name: str) -> Object:
    """A container of a pod, init containers included."""
    named: dict[str, Object] = {c["name"]: c for c in [*pod.get("initContainers", []), *pod["containers"]]}
    return named[name]


def render(values: Values | None = None) -> Rendered:
    """The objects of a release named mesh, each valid for the oldest and the newest Kubernetes. Not to be changed.

    Raises:
        helm_python.HelmError: the schema or a template refuses the values.
        kubernetes_validate.ValidationError: an object is not one of Kubernetes'.
    """
    return _render(json.dumps(values or {}))


@functools.cache
def _render(values: str) -> Rendered:
    with helm_python.Chart.load(CHART) as chart:
        files = chart.render(json.loads(values), name="mesh", namespace="prod")
    notes = files.pop("inferloom/templates/NOTES.txt")
    objects = [found for text in files.values() for found in yaml.load_all(text, Loader) if found]
    for found in objects:
        _check(json.dumps(found))
    return Rendered(tuple(objects), notes)


@functools.cache
def _check(text: str) -> None:
    """Most objects are the same whatever the values, and looking at one takes 50 ms."""
    found = json.loads(text)
    if custom := _custom(found["kind"]):
        custom.validate(found)
        return
    for version in (OLDEST, NEWEST):
        kubernetes_validate.validate(found, version, strict=True)


@functools.cache
def _custom(kind: str) -> jsonschema.Draft7Validator | None:
    """Of a custom resource; None of Kubernetes' own kinds."""
    path = CRDS / f"{kind}.json"
    return jsonschema.Draft7Validator(json.loads(path.read_text())) if path.exists() else None


def refusal(values: Values) -> str:
    """What Helm says to values it refuses."""
    try:
        render(values)
    except helm_python.HelmError as error:
        return str(error)
    raise AssertionError(f"accepted: {values}")


def lint(values: Values | None = None) -> list[str]:
    """Warnings and errors of `helm lint --strict`. It reads the YAML as Kubernetes does, more strictly than PyYAML."""
    report = helm_python.lint(CHART, dict(values or {}), strict=True)
    warning = 2
    return [f"{m['path']}: {m['error']}" for m in report["messages"] if m["severity"] >= warning]


SIZES = {path.stem.removeprefix("values-"): yaml.safe_load(path.read_text()) for path in CHART.glob("values-*.yaml")}
REPOSITORY = {"pvc": "models", "subPath": "team-a"}
PEERS = [{"namespaceSelector": {"matchLabels": {"team": "a"}}}, {"ipBlock": {"cidr": "10.0.0.0/8"}}]
DIGITS = {"digits": {"repository": REPOSITORY}}
TOLERATIONS = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
SCALING = {"min": 2, "max": 6, "inFlight": 12}
HOST_IMAGE = {"repository": "registry.example/shop", "tag": "4f1d2a9b03c7", "pullPolicy": "Always"}
GRAPH = {"inputs": [{"name": "x", "datatype": "INT64", "shape": [1]}], "outputs": [], "nodes": []}
DOCUMENTS = [
    {"kind": "pipeline", "name": "double", "spec": GRAPH},
    {"kind": "split", "name": "digits", "spec": {"arms": [{"name": "1", "share": 100}]}},
]

# Values that between them use every key there is.
MATRIX: dict[str, dict[str, Any]] = {
    "defaults": {},
    **{f"values-{name}.yaml": values for name, values in SIZES.items()},
    "two models": {
        "models": {
            "digits-svm": {"repository": REPOSITORY, "replicas": 3},
            "Digits_MLP": {"repository": {"hostPath": "/srv/models"}, "weight": 0.5, "locality": "eu/a"},
        }
    },
    "two GPUs": {"models": {"llm": {"repository": {"volume": {"nfs": {"server": "nas", "path": "/m"}}}, "gpus": 2}}},
    "everything about a model": {
        "models": {
            "digits": {
                "repository": {"volume": {"csi": {"driver": "csi.example", "readOnly": True}}},
                "load": ["digits-svm", "digits-mlp"],
                "image": {"repository": "mine", "tag": "v7@sha256:" + "0" * 64, "release": "25.11"},
                "replicas": 0,
                "gpus": 1,
                "gpuResource": "nvidia.com/mig-1g.10gb",
                "resources": {"requests": {"cpu": 2}, "limits": {"memory": "8Gi", "ephemeral-storage": "2Gi"}},
                "shmSize": "512Mi",
                "tmpSize": "2Gi",
                "startupSeconds": 1800,
                "exitTimeoutSeconds": 20,
                "rollout": {"maxSurge": 0, "maxUnavailable": "50%"},
                "weight": 3,
                "locality": "eu/b",
                "tritonOptions": ["--log-verbose=1", "--backend-config=python,shm-default-byte-size=16777216"],
                "autoscaling": {"kind": "hpa", **SCALING},
                "nodeSelector": {"gpu": "yes"},
                "tolerations": TOLERATIONS,
            }
        }
    },
    "models from an image": {"models": {"digits": {"repository": {"image": "registry.example/shop:4f1d2a9b03c7"}}}},
    "models from S3": {
        "s3Image": {"repository": "mirror/aws-cli", "tag": "2.27.0", "pullPolicy": "Always"},
        "models": {
            "digits": {
                "repository": {
                    "s3": {
                        "url": "s3://bucket/prefix/",
                        "endpoint": "http://minio.storage:9000",
                        "region": "eu-central-1",
                        "credentials": "s3-reader",
                        "sha256": {"digits/config.pbtxt": "a" * 64, "digits/1/model.onnx": "b" * 64},
                    }
                }
            }
        },
    },
    "hosts and pipelines": {
        "models": DIGITS,
        "hosts": {
            "Checkout": {"image": HOST_IMAGE, "source": "app.py", "only": ["Checkout"], "env": {"MODE": "live"}},
            "rank": {"image": HOST_IMAGE, "source": "app.py", "gpus": 1, "gpuResource": "nvidia.com/mig-1g.10gb"}
            | {"envSecrets": ["database"], "locality": "eu/a", "rollout": {"maxSurge": 0, "maxUnavailable": 1}}
            | {"tmpSize": "1Gi", "startupSeconds": 600, "drainTimeoutSeconds": 90, "tolerations": TOLERATIONS}
            | {"autoscaling": {"kind": "keda", **SCALING}, "nodeSelector": {"gpu": "yes"}, "replicas": 2}
            | {"resources": {"requests": {"cpu": 2}, "limits": {"memory": "2Gi"}}},
        },
        "composer": {"enabled": True, "image": HOST_IMAGE, "source": "app.py", "replicas": 2},
        "hostDefaults": {"autoscaling": {"kind": "hpa", **SCALING}},
        "documents": DOCUMENTS,
        "monitoring": {"prometheus": "http://prometheus:9090"},
    },
    "documents by another image": {
        "composer": {"enabled": True},
        "documents": DOCUMENTS,
        "documentsJob": {"image": HOST_IMAGE, "waitSeconds": 60},
    },
    "no edge, TLS and tokens": {
        "edge": {"enabled": False},
        "router": {"tls": {"secret": "router-tls", "clientCertificates": True}},
        "auth": {"tokenSecret": {"name": "callers"}, "writeTokenSecret": {"name": "writers", "key": "w"}},
        "consul": {"host": "consul.internal", "port": 8501, "tokenSecret": {"name": "consul", "key": "acl"}}
        | {"tls": {"enabled": True, "ca": {"secret": "consul-ca", "key": "tls.crt"}}},
        "models": DIGITS,
    },
    "no edge": {"edge": {"enabled": False}, "networkPolicy": {"clients": PEERS}, "models": DIGITS},
    "edge with TLS": {
        "edge": {"tls": {"secret": "mesh-tls", "clientCertificates": True}, "accessLog": "all", "zone": "eu/a"},
        "auth": {"tokenSecret": {"name": "callers", "key": "t"}},
    },
    "Consul's authority in a ConfigMap": {
        "consul": {"tls": {"enabled": True, "ca": {"configMap": "consul-ca"}}},
        "models": DIGITS,
    },
    "a Consul of its own, which keeps nothing": {"consul-agent": {"enabled": True, "storage": {"size": ""}}},
    "network policy with peers": {
        "models": DIGITS,
        "networkPolicy": {"clients": PEERS, "callers": PEERS, "consul": PEERS, "monitoring": PEERS},
    },
    "no network policy": {"networkPolicy": {"enabled": False}},
    "routes": {
        "gatewayApi": {
            "parentRefs": [{"name": "public", "namespace": "gateways", "sectionName": "https", "port": 443}],
            "grpcHostnames": ["grpc.example.org"],
            "httpHostnames": ["*.example.org"],
        },
        "ingress": {
            "className": "nginx",
            "http": {
                "hosts": ["models.example.org"],
                "annotations": {"nginx.ingress.kubernetes.io/backend-protocol": "HTTP"},
                "tlsSecret": "web",
            },
            "grpc": {"hosts": ["grpc.example.org"], "tlsSecret": "web"},
        },
    },
    "seen": {
        "logLevel": "info",
        "tracing": {"endpoint": "http://jaeger:4317", "tritonEndpoint": "http://jaeger:4318/v1/traces", "ratio": 0.05},
        "monitoring": {"serviceMonitor": {"enabled": True, "interval": "30s", "labels": {"release": "prometheus"}}}
        | {"rules": {"enabled": True, "labels": {"release": "prometheus"}}}
        | {"dashboards": {"enabled": True, "labels": {"grafana_dashboard": "mesh"}}},
        "models": DIGITS,
    },
    "around the pods": {
        "fullnameOverride": "ml",
        "image": {"repository": "registry.example/inferloom", "tag": "1.2.3", "pullPolicy": "Always"},
        "imagePullSecrets": [{"name": "registry"}],
        "podAnnotations": {"example.com/scrape": "true"},
        "topologyKeys": [],
        "podSecurityContext": {"runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 2000}
        | {"seccompProfile": {"type": "RuntimeDefault"}},
        "sidecar": {"drainTimeoutSeconds": 60, "resources": {"limits": {"memory": "512Mi"}}},
        "edge": {"replicas": 1, "concurrency": 8, "maxMemoryMib": 512, "drainTimeoutSeconds": 45}
        | {"nodeSelector": {"pool": "edge"}, "tolerations": [{"operator": "Exists"}]}
        | {"control": {"resources": {"limits": {"memory": "1Gi"}}}}
        | {"autoscaling": {"kind": "hpa", "min": 2, "max": 5, "cpuPercent": 50}},
        "router": {"replicas": 1, "nodeSelector": {"pool": "edge"}, "drainTimeoutSeconds": 60},
        "defaults": {"gpus": 0},
        "maxMessageMib": 128,
        "endpointLagSeconds": 10,
        "service": {"type": "LoadBalancer", "grpcPort": 443, "httpPort": 80, "annotations": {"example.com/in": "true"}},
    },
}
