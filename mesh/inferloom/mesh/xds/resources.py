"""From catalog, policies and splits to the resources of an edge: a pure function with a memory.

Encoding costs milliseconds for a model, so what was encoded is kept while the model, its policy and its split are the
same objects, and the one RouteConfiguration is put together from the bytes of its virtual hosts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from inferloom.mesh.catalog import Catalog, Model
from inferloom.mesh.planes import needs_python
from inferloom.mesh.policy import TrafficPolicy
from inferloom.mesh.split import Split
from inferloom.mesh.xds.clusters import fixed_cluster
from inferloom.mesh.xds.default_routes import EVERYTHING, default_host
from inferloom.mesh.xds.edge_settings import EdgeSettings
from inferloom.mesh.xds.listener import listeners
from inferloom.mesh.xds.model_resources import ModelResources, compile_model
from inferloom.mesh.xds.route_hosts import join
from inferloom.mesh.xds.route_table import route_table
from inferloom.mesh.xds.traced_listener import traced_cluster
from inferloom.mesh.xds.traced_routes import picking_host
from inferloom.mesh.xds.tracing import collectors, picks
from inferloom.mesh.xds.types import EDGE, MESH_HTTP, MESH_ROUTER, TRACED, UNDECIDED, UNROUTED

__all__ = ["Compiler", "Resources"]

HEADROOM = 4 << 20  # bytes that a request may be larger than the largest message: JSON around it, a frame


@dataclass(frozen=True, slots=True)
class Resources:
    """Serialised messages by name. An unchanged one is the same object as in the compilation before."""

    clusters: Mapping[str, bytes]  # envoy.config.cluster.v3.Cluster
    endpoints: Mapping[str, bytes]  # ...ClusterLoadAssignment
    listeners: Mapping[str, bytes]  # ...Listener: "edge", and "traced" where there is a second
    routes: Mapping[str, bytes]  # ...RouteConfiguration: one, "edge"
    hosts: Mapping[str, bytes] = field(default_factory=dict)  # model -> its VirtualHost as compiled now, skipped or not


@dataclass(frozen=True, slots=True)
class _Kept:
    """What was compiled for a model, and from what."""

    model: Model
    policy: TrafficPolicy
    split: Split | None
    others: tuple[Model | None, ...]  # models that arms of the split name
    resources: ModelResources

    def holds(self, model: Model, policy: TrafficPolicy, split: Split | None, others: tuple[Model | None, ...]) -> bool:
        same = self.model is model and self.policy is policy and self.split is split
        return same and len(self.others) == len(others) and all(map(lambda a, b: a is b, self.others, others))


class Compiler:
    """Compiles for edges of one kind of settings.

    Attributes:
        encoded: models encoded so far.
    """

    def __init__(self, settings: EdgeSettings) -> None:
        self.settings = settings
        self.encoded = 0
        self._body_limit = settings.max_message + HEADROOM
        self._kept: dict[str, _Kept] = {}
        self._listeners = {name: bytes(each) for name, each in listeners(settings).items()}
        self._fixed = {
            MESH_ROUTER: bytes(fixed_cluster(MESH_ROUTER, settings.router, rest=False)),
            MESH_HTTP: bytes(fixed_cluster(MESH_HTTP, settings.http, rest=True)),
            **{name: bytes(cluster) for name, cluster in collectors(settings).items()},
        }
        self._table = bytes(route_table())
        everything = default_host(self._body_limit)
        self._hosts = {EVERYTHING: bytes(everything)}
        if picks(settings):
            self._fixed[TRACED] = bytes(traced_cluster())
            self._hosts[UNDECIDED] = bytes(picking_host(everything, settings))
        self._routes = b""

    def compile(
        self,
        catalog: Catalog,
        policy: Callable[[Model], TrafficPolicy],
        splits: Mapping[str, Split],
        skip: Mapping[str, bytes | None] = {},
    ) -> Resources:
        """The resources for this moment.

        Args:
            catalog: what there is; unchanged models are the same objects as before.
            policy: a model's policy; the same object while it has not changed.
            splits: those in force, by model.
            skip: models whose virtual host is replaced by these bytes (the last ones Envoy took), or left out (None), so
                that the router answers for them.
        """
        clusters, endpoints, hosts = dict(self._fixed), dict[str, bytes](), dict[str, bytes]()
        folded: set[str] = set()
        kept = {}
        for name, model in catalog.models.items():
            entry = kept[name] = self._entry(catalog, model, policy(model), splits.get(name))
            # Virtual hosts are chosen without regard to case; of two names that differ in nothing else one is routed here.
            if entry.resources.host is None or name == UNROUTED or name.lower() in folded:
                continue
            folded.add(name.lower())
            clusters.update(entry.resources.clusters)
            endpoints.update(entry.resources.endpoints)
            hosts[name] = entry.resources.host
        self._kept = kept
        return Resources(clusters, endpoints, self._listeners, {EDGE: self._joined(hosts, skip)}, hosts)

    def _entry(self, catalog: Catalog, model: Model, policy: TrafficPolicy, split: Split | None) -> _Kept:
        names = [arm.model for arm in split.arms if arm.model] if split is not None else []
        others = tuple(catalog.models.get(name) for name in names)
        known = self._kept.get(model.name)
        if known is not None and known.holds(model, policy, split, others):
            return known
        if needs_python(policy, model, split):
            resources = ModelResources()
        else:
            self.encoded += 1
            present = {each.name: each for each in others if each is not None}
            resources = compile_model(model, policy, split, present, self.settings.zone, self._body_limit)
        return _Kept(model, policy, split, others, resources)

    def _joined(self, hosts: Mapping[str, bytes], skip: Mapping[str, bytes | None]) -> bytes:
        """The RouteConfiguration; the object it was before where nothing has changed."""
        present = {name: host for name in hosts if (host := skip.get(name, hosts[name])) is not None}
        joined = join(self._table, {**present, **self._hosts})
        if joined != self._routes:
            self._routes = joined
        return self._routes
