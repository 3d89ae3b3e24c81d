"""The chart, rendered by the real Helm and checked against Kubernetes' own schemas. No cluster, no network."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import helm_python
import kubernetes_validate
import yaml

__all__ = ["CHART", "MATRIX", "Rendered", "container", "lint", "refusal", "render"]

CHART = Path(__file__).parents[2] / "helm" / "inferloom"
OLDEST, NEWEST = "1.30", "1.37"  # the chart's kubeVersion, and the newest schemas there are

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
        """The pod template's spec of every Deployment."""
        for deployment in self.all("Deployment"):
            yield deployment["spec"]["template"]["spec"]

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
    objects = [found for text in files.values() for found in yaml.safe_load_all(text) if found]
    for found in objects:
        for version in (OLDEST, NEWEST):
            kubernetes_validate.validate(found, version, strict=True)
    return Rendered(tuple(objects), notes)


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


REPOSITORY = {"pvc": "models", "subPath": "team-a"}
PEERS = [{"namespaceSelector": {"matchLabels": {"team": "a"}}}, {"ipBlock": {"cidr": "10.0.0.0/8"}}]

# Values that between them use every key there is.
MATRIX: dict[str, dict[str, Any]] = {
    "defaults": {},
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
                "nodeSelector": {"gpu": "yes"},
                "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
            }
        }
    },
    "TLS and tokens": {
        "router": {"tls": {"secret": "router-tls", "clientCertificates": True}, "tokenSecret": {"name": "callers"}},
        "consul": {"host": "consul.internal", "port": 8501, "tokenSecret": {"name": "consul", "key": "acl"}}
        | {"tls": {"enabled": True, "ca": {"secret": "consul-ca", "key": "tls.crt"}}},
        "models": {"digits": {"repository": REPOSITORY}},
    },
    "Consul's authority in a ConfigMap": {
        "consul": {"tls": {"enabled": True, "ca": {"configMap": "consul-ca"}}},
        "models": {"digits": {"repository": REPOSITORY}},
    },
    "network policy with peers": {"networkPolicy": {"clients": PEERS, "callers": PEERS, "monitoring": PEERS}},
    "no network policy": {"networkPolicy": {"enabled": False}},
    "around the pods": {
        "fullnameOverride": "ml",
        "image": {"repository": "registry.example/inferloom", "tag": "1.2.3", "pullPolicy": "Always"},
        "imagePullSecrets": [{"name": "registry"}],
        "podAnnotations": {"example.com/scrape": "true"},
        "topologyKeys": [],
        "podSecurityContext": {"runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 2000}
        | {"seccompProfile": {"type": "RuntimeDefault"}},
        "sidecar": {"drainTimeoutSeconds": 60, "resources": {"limits": {"memory": "512Mi"}}},
        "router": {"replicas": 1, "nodeSelector": {"pool": "edge"}, "tolerations": [{"operator": "Exists"}]}
        | {"maxMessageMib": 128, "endpointLagSeconds": 10, "drainTimeoutSeconds": 60}
        | {"service": {"type": "LoadBalancer", "port": 443, "annotations": {"example.com/internal": "true"}}},
    },
}
