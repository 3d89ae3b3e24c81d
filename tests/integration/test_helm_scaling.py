"""What changes the number of replicas, what it goes by, and what keeps them."""

from __future__ import annotations

import re

import pytest

from tests.integration.test_helm_pods import DIGITS, EDGE, REPOSITORY, ROUTER, one_model
from tests.support.helm import MATRIX, render


@pytest.mark.parametrize("name", ["iris", "a" * 25, "a" * 30, "a" * 34])
def test_scaling_counts_the_pods_of_its_own_deployment_alone(name: str) -> None:
    """As Kubernetes names pods: 58 characters of NAME-HASH-, and five random ones."""
    names = (name, f"{name}-2", "abcde", name[:25] + "-abcde")
    models = {each: {"repository": REPOSITORY} for each in names}
    scaling = {"defaults": {"autoscaling": {"kind": "keda"}}, "monitoring": {"prometheus": "http://prometheus:9090"}}
    deployments = [f"mesh-inferloom-model-{each}" for each in models]
    pods = {f"{f'{each}-7d9f8c6b5-'[:58]}x2k4p": each for each in deployments}
    for scaled in render({"models": models} | scaling).all("ScaledObject"):
        query = scaled["spec"]["triggers"][0]["metadata"]["query"]
        (pattern,) = re.findall(r'replica=~"([^"]*)"', query)
        own = {each for pod, each in pods.items() if re.fullmatch(pattern, pod)}
        assert own == {scaled["spec"]["scaleTargetRef"]["name"]}


def test_who_is_scaled_by_something_else_has_no_number_of_replicas() -> None:
    rendered = render(MATRIX["values-production.yaml"])
    for name in (EDGE, ROUTER, f"{DIGITS}-svm", "mesh-inferloom-composer"):
        assert "replicas" not in rendered.one("Deployment", name)["spec"]
    assert rendered.one("Deployment", "mesh-inferloom-model-llm")["spec"]["replicas"] == 2
    targets = {s["spec"]["scaleTargetRef"]["name"] for s in rendered.all("ScaledObject")}
    assert targets == {ROUTER, f"{DIGITS}-svm", "mesh-inferloom-composer"}
    trigger = rendered.one("ScaledObject", f"{DIGITS}-svm")["spec"]["triggers"][0]["metadata"]
    pods = '{namespace="prod",replica=~"mesh-inferloom-model-digits-svm-[a-z0-9]+-[a-z0-9]{5}"}'
    assert trigger["query"] == f"sum(inferloom_replica_in_flight{pods})"
    (hpa,) = rendered.all("HorizontalPodAutoscaler")
    assert hpa["spec"]["scaleTargetRef"]["name"] == EDGE


def test_a_budget_for_disruptions_exists_where_there_is_more_than_one_replica() -> None:
    budgets = {b["metadata"]["name"] for b in render(one_model(replicas=1)).all("PodDisruptionBudget")}
    assert budgets == {ROUTER, EDGE}
    budgets = {b["metadata"]["name"] for b in render(one_model(replicas=2)).all("PodDisruptionBudget")}
    assert budgets == {ROUTER, EDGE, DIGITS}
    assert render({"router": {"replicas": 1}, "edge": {"replicas": 1}}).all("PodDisruptionBudget") == []
