"""All that one model becomes: clusters, their endpoints, and a virtual host, each as bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from inferloom.mesh.catalog import Model
from inferloom.mesh.policy import TrafficPolicy
from inferloom.mesh.split import Split
from inferloom.mesh.xds.clusters import replicas_cluster
from inferloom.mesh.xds.route_metadata import split_spec
from inferloom.mesh.xds.routes import virtual_host
from inferloom.mesh.xds.serving import Serving
from inferloom.mesh.xds.types import model_cluster, rest_cluster

__all__ = ["ModelResources", "compile_model"]


@dataclass(frozen=True, slots=True)
class ModelResources:
    """A model's resources by name; without a host the router answers for it."""

    clusters: Mapping[str, bytes] = field(default_factory=dict)
    endpoints: Mapping[str, bytes] = field(default_factory=dict)
    host: bytes | None = None


def compile_model(
    model: Model, policy: TrafficPolicy, split: Split | None, others: Mapping[str, Model], zone: str, body_limit: int
) -> ModelResources:
    """The resources of a model that does not need Python.

    Args:
        others: models that arms of the split name, those that there are.
        zone: of the edge.
        body_limit: bytes that may be held of a request.
    """
    serving = Serving.of(model)
    if serving is None:
        return ModelResources()
    spec = None
    if split is not None:
        spec = split_spec(split, {name: Serving.of(other) for name, other in others.items()} | {model.name: serving})
        if spec is None:
            return ModelResources()
    clusters, endpoints = {}, {}
    for version in ("", *sorted(serving.own)):
        replicas = serving.with_version(version) if version else serving.replicas
        with_rest = [replica for replica in replicas if replica.http_port]
        for name, members, rest in (
            (model_cluster(model.name, version), replicas, False),
            (rest_cluster(model.name, version), with_rest, True),
        ):
            if members:
                clusters[name], assigned = replicas_cluster(name, members, policy, rest=rest, zone=zone)
                if assigned is not None:
                    endpoints[name] = assigned
    host = virtual_host(model.name, model.kind, serving, policy, spec, body_limit)
    return ModelResources(clusters, endpoints, host)
