"""The router as a library: `await router(call)`.

A composer embeds it; `server.RouterServer` puts a gRPC face on it.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

import grpc
from prometheus_client.core import Metric

from inferloom.mesh.call import Call, Reply
from inferloom.mesh.catalog import Model
from inferloom.mesh.clock import SYSTEM, Clock, seeded
from inferloom.mesh.explain.explainer import Explainer
from inferloom.mesh.policies import Policies
from inferloom.mesh.policy import TrafficPolicy
from inferloom.mesh.registry.base import Registry
from inferloom.mesh.registry.registry_metrics import registry_metrics
from inferloom.mesh.router.admission import Admission
from inferloom.mesh.router.explaining import Explaining
from inferloom.mesh.router.objective_metrics import objective_metrics, objectives
from inferloom.mesh.router.pool import Pool
from inferloom.mesh.router.pool_metrics import pool_metrics
from inferloom.mesh.router.split_metrics import split_metrics
from inferloom.mesh.router.splitting import Splitting
from inferloom.mesh.router.stack import assemble
from inferloom.mesh.router.transport import Channel
from inferloom.mesh.splits.exposure import Exposures
from inferloom.mesh.telemetry.failures import FailureLog
from inferloom.mesh.telemetry.metrics import RouterMetrics
from inferloom.mesh.telemetry.tracing import Tracing

__all__ = ["Router", "RouterSettings"]

MIB = 1024 * 1024
ZONE = "INFERLOOM_ZONE"  # environment variable


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterSettings:
    """Bounds of one router process."""

    max_message: int = 64 * MIB  # bytes of one message, on every hop
    max_in_flight: int = 512 * MIB  # bytes of request messages at once
    replica_credentials: grpc.ChannelCredentials | None = None  # TLS to the replicas; None: plain text
    zone: str = field(default_factory=lambda: os.environ.get(ZONE, ""))  # "region/zone" of this process; "": not known
    process: str = "router"  # its name in what it tells of requests


class Router:
    """Finds the replicas in a registry and answers calls through the stack.

    Args:
        registry: started by `start`, closed by whoever made it.
        policy: gives the policy of a model that has no document; by default what its replicas say of themselves.
        tracing: adds spans; off by default.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        settings: RouterSettings = RouterSettings(),
        policy: Callable[[Model], TrafficPolicy] | None = None,
        clock: Clock = SYSTEM,
        rng: random.Random | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self.registry = registry
        self.settings = settings
        self.clock = clock
        self.tracing = tracing or Tracing()
        rng = rng or seeded()
        self.policies = Policies(policy or TrafficPolicy.of, clock=clock)
        self.pool = Pool(self._connect, self.policies.of, clock, rng, settings.zone)
        self.policies.on_change(self.pool.repolicy)
        self.admission = Admission(settings.max_in_flight)
        self.exposures = Exposures()
        self.splitting = Splitting(self.pool, self.admission, clock, rng, self.exposures)
        self.metrics = RouterMetrics(self._gauges, self._known)
        self.explainer = Explainer(clock, rng, settings.process, self._promised_latency)
        explaining = Explaining(self.explainer, self.pool, settings.zone)
        self.handle = assemble(
            self.pool, self.admission, clock, rng, self.metrics, self.tracing, self.splitting, explaining
        )
        self.policies.on_change(self._promised)
        self.failures = FailureLog(clock)
        self._following: asyncio.Task[None] | None = None

    async def __call__(self, call: Call) -> Reply:
        """Answer one call.

        Raises:
            InferloomError: see errors.py; a replica's own error comes as ReplicaError, unchanged.
        """
        return await self.handle(call)

    def policy(self, model: str) -> TrafficPolicy:
        """The policy of a model; the default one where it is not in the catalog."""
        group = self.pool.groups.get(model)
        return group.policy if group is not None else _DEFAULT

    async def start(self) -> None:
        """Begin to follow the registry. Returns when the first catalog, the splits and the policies have been applied."""
        await self.registry.start()
        self.pool.apply(self.registry.catalog)
        self._following = asyncio.create_task(self.pool.follow(self.registry), name="follow registry")
        documents = self.registry.documents
        await asyncio.gather(self.splitting.start(documents), self.policies.start(documents))

    async def close(self) -> None:
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        await self.policies.close()
        await self.splitting.close()
        await self.pool.close()

    def _promised_latency(self, model: str) -> float | None:
        return self.policy(model).objective.latency

    def _connect(self, address: str) -> Channel:
        return Channel(address, max_message=self.settings.max_message, credentials=self.settings.replica_credentials)

    def _gauges(self) -> Iterable[Metric]:
        yield from pool_metrics(self.pool, self.admission)
        yield from registry_metrics(self.registry, {"policy": self.policies.lag, "split": self.splitting.lag})
        yield from objective_metrics(self.policies)
        yield from split_metrics(self.splitting)

    def _known(self) -> dict[str, Collection[str]]:
        return {name: group.endpoints.keys() for name, group in self.pool.groups.items()}

    def _promised(self, names: frozenset[str]) -> None:
        known = objectives(self.policies.written)
        self.metrics.slow_after = {name: each.latency for name, each in known.items() if each.latency is not None}


_DEFAULT = TrafficPolicy()
