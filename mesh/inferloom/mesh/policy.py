"""How a model's traffic is treated: one document, executed by the Python router and compiled for other data planes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from inferloom.mesh.catalog import Model, Repeat
from inferloom.mesh.errors import ConfigError, InvalidInput
from inferloom.mesh.policy_fields import FIELDS, Balancing, Locality, Value, nested, read_fields

__all__ = ["KIND", "Balancing", "Breaking", "Locality", "Objective", "Retrying", "TrafficPolicy"]

KIND = "policy"  # of its documents
METADATA_KEY = re.compile(r"[a-z0-9_.-]{1,256}", re.ASCII)
OWN_KEYS = frozenset({"authorization", "content-type", "host", "te", "user-agent"})  # the transport's: not passed on


def _check(condition: bool, where: str, must: str) -> None:
    if not condition:
        raise ConfigError(f"policy: {where} must be {must}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrying:
    """At most `attempts` tries, paid from a budget, so that retries cannot multiply an overload.

    A budget of 20 % of the calls is Envoy's and Finagle's; a floor keeps rarely called models retriable.
    """

    attempts: int = 3  # tries in all, the first included (gRPC A6)
    budget_ratio: float = 0.2  # tokens each call earns
    budget_floor: float = 10.0  # tokens per second earned by the passing of time
    budget_window: float = 10.0  # seconds of floor the bucket holds, full at start: 100 tokens
    backoff: float = (
        0.025  # seconds before the second retry, doubled each time; the first goes at once to another replica
    )
    jitter: float = 0.2  # ± share of the backoff

    def __post_init__(self) -> None:
        _check(1 <= self.attempts <= 10, "retry.attempts", "1 to 10")
        _check(0 <= self.budget_ratio <= 1, "retry.budget.ratio", "0 to 1")
        _check(self.budget_window > 0, "retry.budget.window", "above 0 seconds")
        # The floor also sizes the bucket: one that holds no whole token never pays for a retry.
        _check(
            self.budget_floor * self.budget_window >= 1,
            "retry.budget.floor",
            "such that floor times window is 1 or more",
        )
        _check(self.backoff >= 0, "retry.backoff", "0 or more seconds")
        _check(0 <= self.jitter < 1, "retry.jitter", "0 up to 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaking:
    """When a replica is taken out, and how it comes back.

    Five consecutive failures and growing ejection are Envoy's. Its base of 30 s readmits a host with full traffic; here
    one real request decides first, so a shorter base risks one request, and two replicas are whole again sooner.
    """

    consecutive: int = 5  # failures in a row
    rate: float = 0.5  # share of failures within the window ...
    rate_requests: int = 20  # ... once it holds so many requests
    window: float = 10.0  # seconds
    base: float = 5.0  # seconds out, times the number of times it was out without a healthy spell
    longest: float = 300.0  # seconds out at most
    jitter: float = 0.2  # ± share
    forget: float = 60.0  # seconds of health after which earlier ejections are forgotten

    def __post_init__(self) -> None:
        _check(self.consecutive >= 1, "health.consecutive", "1 or more")
        _check(0 < self.rate <= 1, "health.rate", "above 0, up to 1")
        _check(self.rate_requests >= 1, "health.rate_requests", "1 or more")
        _check(self.window > 0, "health.window", "above 0 seconds")
        _check(self.base > 0, "health.base", "above 0 seconds")
        _check(self.longest >= self.base, "health.longest", "at least health.base")
        _check(0 <= self.jitter < 1, "health.jitter", "0 up to 1")
        _check(self.forget >= 0, "health.forget", "0 or more seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """What users are promised. It changes nothing about traffic: alerts compare what happens with it.

    Error budgets, and alerts on how fast they burn, are chapter 5 of Google's Site Reliability Workbook.
    """

    availability: float | None = None  # percent of the requests that end without a fault of the mesh or the model
    latency: float | None = None  # seconds within which ...
    within: float = 99.0  # ... this percentage of the answers comes

    def __post_init__(self) -> None:
        _check(self.availability is None or 0 < self.availability < 100, "objective.availability", "between 0 and 100")
        _check(self.latency is None or self.latency > 0, "objective.latency", "above 0 seconds")
        _check(0 < self.within < 100, "objective.within", "between 0 and 100")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficPolicy:
    """Everything about a model's traffic. Validates itself."""

    timeout: float = 30.0  # seconds, where the caller sets no deadline
    longest: float = 600.0  # seconds: cap on what a caller may ask for
    attempt_timeout: float | None = None  # seconds for one try; None: all that is left
    idempotent: bool = True  # a stateless Triton model is; then a try that broke may be repeated
    stream_idle: float = 600.0  # seconds a stream may be silent
    balancing: Balancing = Balancing.AUTO
    affinity: str = ""  # metadata key: requests with the same value go to the same replica while it may be used
    locality: Locality = Locality.ANY
    concurrency: int = 0  # requests of the model in flight at once, in each process of a data plane; 0: no bound
    slow_start: float = 30.0  # seconds until a new replica has its full share, from a tenth of it; 0: at once
    retry: Retrying = field(default_factory=Retrying)
    health: Breaking = field(default_factory=Breaking)
    objective: Objective = field(default_factory=Objective)

    @staticmethod
    def of(model: Model) -> TrafficPolicy:
        """The policy of a model that has no document: what its replicas say of themselves."""
        return _BY_REPEAT[model.repeat]

    def __post_init__(self) -> None:
        _check(self.timeout > 0, "timeout", "above 0 seconds")
        _check(self.longest >= self.timeout, "longest", "at least the timeout")
        _check(self.attempt_timeout is None or self.attempt_timeout > 0, "attempt_timeout", "above 0 seconds")
        _check(self.stream_idle > 0, "stream_idle", "above 0 seconds")
        _check(self.concurrency >= 0, "concurrency", "0 or more requests")
        _check(self.slow_start >= 0, "slow_start", "0 or more seconds")
        right = "a key of gRPC metadata that travels on: lower-case letters, digits, '-', '_' or '.'"
        _check(not self.affinity or _travels(self.affinity), "affinity", right)

    @staticmethod
    def names() -> tuple[str, ...]:
        return tuple(entry.name for entry in fields(TrafficPolicy))

    def over(self, values: Mapping[str, Value]) -> TrafficPolicy:
        """This policy with what a document says, as `read_fields` gives it. Of two that bound each other
        (timeout and longest; health.base and health.longest) the one that it does not name gives way.

        Raises:
            ConfigError: a bound is exceeded.
        """
        parts: dict[str, dict[str, Any]] = {"": {}, "retry": {}, "health": {}, "objective": {}}
        for path, value in values.items():
            parts[FIELDS[path].part][FIELDS[path].name] = value
        own, health = parts[""], parts["health"]
        own.setdefault("timeout", min(self.timeout, own.get("longest", self.timeout)))
        own.setdefault("longest", max(self.longest, own["timeout"]))
        health.setdefault("base", min(self.health.base, health.get("longest", self.health.base)))
        health.setdefault("longest", max(self.health.longest, health["base"]))
        for name, kind in (("balancing", Balancing), ("locality", Locality)):
            if name in own:
                own[name] = kind(own[name])
        inner = {part: replace(getattr(self, part), **parts[part]) for part in ("retry", "health", "objective")}
        return replace(self, **own, **inner)

    @staticmethod
    def from_json(name: str, spec: Mapping[str, Any], base: TrafficPolicy | None = None) -> TrafficPolicy:
        """Read a document's spec.

        Args:
            base: what holds where the spec says nothing; by default the defaults.

        Raises:
            InvalidInput: names the policy, the path and what would be right.
        """
        where = f"policy '{name}'"
        values = read_fields(spec, where)
        try:
            return (base or _BY_REPEAT[Repeat.ANY]).over(values)
        except ConfigError as error:
            raise InvalidInput(f"{where}: {str(error).removeprefix('policy: ')}") from None

    def to_json(self) -> dict[str, Any]:
        """The spec that says all of it."""
        values = {path: getattr(getattr(self, f.part) if f.part else self, f.name) for path, f in FIELDS.items()}
        return nested({path: value for path, value in values.items() if value is not None})


def _travels(key: str) -> bool:
    return METADATA_KEY.fullmatch(key) is not None and key not in OWN_KEYS and not key.startswith("grpc-")


_BY_REPEAT = {
    Repeat.ANY: TrafficPolicy(),
    Repeat.UNBEGUN: TrafficPolicy(idempotent=False),
    Repeat.NEVER: TrafficPolicy(idempotent=False, retry=Retrying(attempts=1)),
}
