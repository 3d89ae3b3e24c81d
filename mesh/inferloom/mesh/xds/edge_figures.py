"""What one edge has counted and does now, as it was read last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from inferloom.mesh.xds.edge_lifetime import UPTIME, Counted, Lifetime, uptime
from inferloom.mesh.xds.edge_sums import Sums
from inferloom.mesh.xds.request_figures import PREFIX, RequestFigures
from inferloom.mesh.xds.types import MODEL_CLUSTERS, REST_CLUSTERS

__all__ = ["WANTED", "EdgeFigures", "Load", "Server"]

RETRIED, REFUSED = ".upstream_rq_retry", ".upstream_rq_retry_overflow"
WANTED = rf"^{PREFIX}\.|^cluster\..*\.upstream_rq_retry(_overflow)?$|^{UPTIME}$"
TOTAL, ANSWERED, FAILED = "rq_total", "rq_success", "rq_error"  # of a server; each one only rises


class Server(NamedTuple):
    """One port of a replica."""

    model: str
    host: str
    port: int


class Load(NamedTuple):
    """What an edge does with a server, over all clusters that it stands in.

    Attributes:
        in_flight: requests that are under way now.
        passed_over: because its answers failed.
        attempts: begun so far.
        answered, failed: how they ended. Those whose caller went away are in neither; what found no connection is in `failed`
            alone.
    """

    in_flight: int
    passed_over: bool
    attempts: int
    answered: int
    failed: int


class EdgeFigures:
    """Of one edge, while it stays connected.

    Args:
        absent: on the process's clock: when it was last known not to be connected.

    Attributes:
        up: whether it could be read; None: it has not been tried.
        requests: those that it sent to replicas itself.
        retries, refused: made, and not made because the budget was spent; by model.
        servers: what it does with each; where it cannot be read, what it had counted.
    """

    def __init__(self, absent: float) -> None:
        self.up: bool | None = None
        self.requests = RequestFigures()
        self.retries: Sums[str] = Sums()
        self.refused: Sums[str] = Sums()
        self.servers: Mapping[Server, Load] = {}
        self._lifetime = Lifetime(absent)
        self._servers: Sums[tuple[Server, str]] = Sums()

    def read(
        self,
        stats: Sequence[Mapping[str, Any]],
        clusters: Sequence[Mapping[str, Any]],
        slow_after: Mapping[str, float],
        now: float,
    ) -> Counted:
        """Take "stats" of its /stats and "cluster_statuses" of its /clusters.

        Args:
            slow_after: seconds after which an answer misses its model's objective, by model.
            now: on the process's clock.
        """
        counted = self._lifetime.judge(uptime(stats), now)
        anew = counted is Counted.ANEW
        self.requests.read(stats, slow_after, counted)
        self.retries.read(_retries(stats, RETRIED), anew=anew)
        self.refused.read(_retries(stats, REFUSED), anew=anew)
        self._read_servers(clusters, anew=anew)
        return counted

    def lose(self) -> None:
        """It cannot be read: what it counted stands, what it does now nobody knows."""
        self.up = False
        self.servers = {each: load._replace(in_flight=0, passed_over=False) for each, load in self.servers.items()}

    def _read_servers(self, clusters: Iterable[Mapping[str, Any]], *, anew: bool) -> None:
        active: dict[Server, int] = {}
        out: dict[Server, bool] = {}
        parts: dict[tuple[tuple[Server, str], str], int] = {}
        for cluster in clusters:
            model = _model(cluster["name"])
            for each in cluster.get("host_statuses", ()) if model else ():
                at = each["address"].get("socket_address", {})
                server = Server(model, at.get("address", ""), at.get("port_value", 0))
                stats = {
                    entry["name"]: int(entry.get("value", 0)) for entry in each["stats"]
                }  # a value of 0 is left out
                active[server] = active.get(server, 0) + stats["rq_active"]
                out[server] = out.get(server, False) or each.get("health_status", {}).get("failed_outlier_check", False)
                parts |= {((server, name), cluster["name"]): stats[name] for name in (TOTAL, ANSWERED, FAILED)}
        self._servers.read(parts, anew=anew)
        sums = self._servers.values
        self.servers = {
            server: Load(count, out[server], *(sums[server, name] for name in (TOTAL, ANSWERED, FAILED)))
            for server, count in active.items()
        }


def _retries(stats: Iterable[Mapping[str, Any]], end: str) -> dict[tuple[str, str], int]:
    """Counters of models' clusters whose names end so."""
    named = ((each["name"].removeprefix("cluster."), each) for each in stats if each.get("name", "").endswith(end))
    found = ((name.removesuffix(end), int(each["value"])) for name, each in named)
    return {(model, cluster): count for cluster, count in found if (model := _model(cluster))}


def _model(cluster: str) -> str:
    """Whose replicas a cluster has; "": it is the router process's."""
    kind, _, target = cluster.partition("/")
    return target.partition("@")[0] if kind in (MODEL_CLUSTERS, REST_CLUSTERS) else ""
