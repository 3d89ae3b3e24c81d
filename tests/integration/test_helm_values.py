"""What the chart refuses, and how it says so."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.helm import refusal, render

REPOSITORY = {"pvc": "models"}


def model(name: str = "digits", **keys: Any) -> dict[str, Any]:
    return {"models": {name: {"repository": REPOSITORY, **keys}}}


UNKNOWN = {
    "at the top": ({"routr": {}}, "'routr'"),
    "of the router": ({"router": {"replica": 2}}, "at '/router': additional properties 'replica'"),
    "of the edge": ({"edge": {"tls": {"secrets": "a"}}}, "at '/edge/tls': additional properties 'secrets'"),
    "of a host": ({"hosts": {"a": {"source": "a.py", "cpu": 1}}}, "at '/hosts/a': additional properties 'cpu'"),
    "of a document": ({"documents": [{"kind": "split", "name": "a", "spec": {}, "x": 1}]}, "at '/documents/0'"),
    "of the Consul of its own": ({"consul-agent": {"enabled": True, "replicas": 3}}, "'replicas'"),
    "of its resources": (
        {"consul-agent": {"enabled": True, "resources": {"limits": {"cpus": 1}}}},
        "'cpus'",
    ),
    "of S3": (model(repository={"s3": {"url": "s3://bucket", "sha256": {"a": "0" * 64}, "path": "x"}}), "'path'"),
    "of a model": (model(gpu=2), "'gpu'"),
    "of a model's image": (model(image={"version": "25.10"}), "'version'"),
    "of the defaults": ({"defaults": {"load": ["a"]}}, "'load'"),
    "of Consul's TLS": ({"consul": {"tls": {"cert": "x"}}}, "'cert'"),
    "of a toleration": (model(tolerations=[{"keys": "x"}]), "'keys'"),
    "of a network peer": ({"networkPolicy": {"clients": [{"podSelectors": {}}]}}, "'podSelectors'"),
    "among volume sources": (model(repository={"volume": {"nsf": {"server": "a"}}}), "'nsf'"),
    "a GPU among the resources": (model(resources={"limits": {"nvidia.com/gpu": 1}}), "'nvidia.com/gpu'"),
}


@pytest.mark.parametrize(("values", "key"), UNKNOWN.values(), ids=UNKNOWN.keys())
def test_an_unknown_key_is_refused_by_name(values: dict[str, Any], key: str) -> None:
    assert key in refusal(values)


WRONG = {
    "a space in a model's name": (model("my digits"), "'my digits'"),
    "a slash in a model's name": (model("team/digits"), "'team/digits'"),
    "a name of punctuation": (model("..."), "'...' has no letter or digit"),
    "a name too long": (model("a" * 80), "Kubernetes allows 63"),
    "no repository": ({"models": {"digits": {}}}, "missing property 'repository'"),
    "an empty repository": (
        model(repository={}),
        "models.digits.repository: give exactly one of pvc, hostPath, volume, image and s3",
    ),
    "two repositories": (model(repository={"pvc": "a", "hostPath": "/a"}), "(given: pvc, hostPath)"),
    "a host path that is not absolute": (
        model(repository={"hostPath": "models"}),
        "/models/digits/repository/hostPath",
    ),
    "an unquoted tag": (model(image={"tag": 25.10}), "/models/digits/image/tag': got number, want string"),
    "a tag that tells no release": (
        model(image={"tag": "latest"}),
        "the tag 'latest' does not begin with Triton's release",
    ),
    "an option that the chart sets": (
        model(tritonOptions=["--grpc-port=9"]),
        "tritonOptions: --grpc-port is the chart's",
    ),
    "a star beside a name": (model(load=["*", "digits"]), 'models.digits.load: "*" loads everything'),
    "a weight of zero": (model(weight=0), "/models/digits/weight"),
    "half a replica": (model(replicas=1.5), "/models/digits/replicas"),
    "a size without sense": (model(shmSize="one gig"), "/models/digits/shmSize"),
    "two authorities for Consul": (
        {"consul": {"tls": {"enabled": True, "ca": {"secret": "a", "configMap": "b"}}}},
        "give secret or configMap, not both",
    ),
    "an authority without TLS": ({"consul": {"tls": {"ca": {"secret": "a"}}}}, "set it to true"),
    "client certificates without TLS": ({"router": {"tls": {"clientCertificates": True}}}, "needs router.tls.secret"),
    "TLS behind the edge": ({"router": {"tls": {"secret": "a"}}}, "set edge.tls, or edge.enabled to false"),
    "routes to an HTTP port that is off": (
        {"edge": {"enabled": False}, "router": {"tls": {"secret": "a"}}, "ingress": {"http": {"hosts": ["a.example"]}}},
        "router.tls turns the HTTP port off",
    ),
    "one name for both routes": (
        {"gatewayApi": {"grpcHostnames": ["a.example"], "httpHostnames": ["a.example"]}},
        "give them different names",
    ),
    "a pipeline that nothing runs": (
        {"documents": [{"kind": "pipeline", "name": "p", "spec": {}}]},
        "set composer.enabled to true",
    ),
    "a document twice": (
        {"documents": [{"kind": "split", "name": "s", "spec": {}}] * 2},
        "documents: split 's' is there twice",
    ),
    "a host without code": ({"hosts": {"shop": {}}}, "hosts.shop.source: name the Python file"),
    "KEDA without Prometheus": ({"router": {"autoscaling": {"kind": "keda"}}}, "set monitoring.prometheus"),
    "a most below the least": (
        {"router": {"autoscaling": {"kind": "hpa", "min": 5, "max": 2}}},
        "max (2) is below min (5)",
    ),
    "a checksum that is none": (
        model(repository={"s3": {"url": "s3://bucket", "sha256": {"digits/1/model.onnx": "abc"}}}),
        "/models/digits/repository/s3/sha256",
    ),
    "a path out of the repository": (
        model(repository={"s3": {"url": "s3://bucket", "sha256": {"../x": "0" * 64}}}),
        "'../x' does not match pattern",
    ),
    "S3 without checksums": (model(repository={"s3": {"url": "s3://bucket"}}), "missing property 'sha256'"),
    "TLS to a Consul that has none": (
        {"consul": {"tls": {"enabled": True}}, "consul-agent": {"enabled": True}},
        "consul-agent has no TLS",
    ),
    "root": ({"podSecurityContext": {"runAsUser": 0}}, "/podSecurityContext/runAsUser"),
}


@pytest.mark.parametrize(("values", "says"), WRONG.values(), ids=WRONG.keys())
def test_wrong_values_are_refused_with_their_place(values: dict[str, Any], says: str) -> None:
    assert says in refusal(values)


@pytest.mark.parametrize(("one", "other"), [("Iris", "iris"), ("a.b", "a_b"), ("-x", "x")])
def test_names_that_kubernetes_cannot_tell_apart_are_refused(one: str, other: str) -> None:
    said = refusal({"models": {one: {"repository": REPOSITORY}, other: {"repository": REPOSITORY}}})
    assert f"'{one}' and '{other}' would both be" in said
    assert "rename one of the entries" in said


@pytest.mark.parametrize("image", [{"tag": "25.06-py3"}, {"tag": "24.12-py3"}, {"tag": "mine", "release": "25.06"}])
def test_a_triton_older_than_25_07_is_refused(image: dict[str, str]) -> None:
    assert "use 25.07 or newer" in refusal(model(image=image))


@pytest.mark.parametrize(
    "image", [{"tag": "25.07-py3"}, {"tag": "26.01-vllm-python-py3"}, {"tag": "mine", "release": "25.07"}]
)
def test_a_triton_from_25_07_on_is_taken(image: dict[str, str]) -> None:
    assert render(model(image=image)).all("Deployment")


def test_an_entrys_own_keys_win_over_the_defaults_even_where_they_are_zero() -> None:
    values = model(gpus=0, replicas=0, tritonOptions=[]) | {
        "defaults": {"gpus": 4, "tritonOptions": ["--log-verbose=1"]}
    }
    rendered = render(values)
    deployment = rendered.one("Deployment", "mesh-inferloom-model-digits")
    triton = deployment["spec"]["template"]["spec"]["initContainers"][0]
    assert deployment["spec"]["replicas"] == 0
    assert "nvidia.com/gpu" not in triton["resources"]["limits"]
    assert "--log-verbose=1" not in triton["args"]
