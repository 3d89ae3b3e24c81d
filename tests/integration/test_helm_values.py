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
    "of the router": ({"router": {"replica": 2}}, "'replica'"),
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
        "models.digits.repository: give exactly one of pvc, hostPath and volume",
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
