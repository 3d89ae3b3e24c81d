"""What a replica looks like in Consul: a service's instance, and the check that stands for it. Pure.

A sidecar has one gRPC check, carried by its instance of the service `inferloom-sidecar`; the instances of its models
have alias checks on it, which cost nothing and change with it at once. Checks begin as passing: a replica registers
when it is up, and a Consul that has just forgotten everything must not declare the whole mesh dead for a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inferloom.mesh.catalog import Replica
from inferloom.mesh.errors import InvalidInput
from inferloom.mesh.registry.consul.keys import Keys, service_name

__all__ = ["TTL", "CheckOptions", "Instance", "of_replica", "of_sidecar", "split_check"]

TTL = 60  # seconds for which an instance without a gRPC check stays passing unless it is asserted again
GARBAGE = "10m"  # after so long in a critical state the agent forgets an instance: its process will not come back
META_LIMIT = 512  # bytes that Consul takes for one value of meta


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """How Consul's agent checks a sidecar."""

    interval: float = 1.0  # seconds between two checks
    timeout: float = 2.0  # seconds
    failures: int = 2  # in a row, before it is critical
    tls: bool = False  # the sidecar's gRPC server has TLS (its certificate must name the agent's node)


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance, as it is registered with the agent."""

    id: str
    service: str
    host: str
    port: int
    tag: str
    meta: Mapping[str, str]
    weight: int
    check: Mapping[str, Any]

    def registration(self) -> dict[str, Any]:
        """The arguments of py-consul's `agent.service.register`."""
        return {
            "name": self.service,
            "service_id": self.id,
            "address": self.host,
            "port": self.port,
            "tags": [self.tag],
            "meta": dict(self.meta),
            "weights": {"Passing": self.weight, "Warning": 1},
            "check": dict(self.check),
            "replace_existing_checks": True,
        }

    def same_as(self, found: Mapping[str, Any]) -> bool:
        """Whether the agent's entry says the same."""
        return (
            found.get("Service") == self.service
            and found.get("Address") == self.host
            and found.get("Port") == self.port
            and (found.get("Meta") or {}) == dict(self.meta)
            and (found.get("Weights") or {}).get("Passing") == self.weight
        )


def of_replica(keys: Keys, replica: Replica) -> Instance:
    """The instance of a replica, under its model's service."""
    name = keys.instance(replica.model, replica.id)
    check: dict[str, Any] = {
        "CheckID": f"{name}:health",
        "Status": "passing",
        "DeregisterCriticalServiceAfter": GARBAGE,
    }
    if replica.check:
        check |= {"Name": "its sidecar", "AliasService": keys.sidecar(replica.check)}
    else:
        check |= {"Name": "asserted by its process", "TTL": f"{TTL}s"}
    meta = {
        "model": replica.model,
        "replica": replica.id,
        "state": replica.state.value,
        "versions": ",".join(replica.versions),
        "http_port": str(replica.http_port),
        "app_port": str(replica.app_port),
        "locality": replica.locality,
    }
    return Instance(
        name,
        service_name(replica.model),
        replica.host,
        replica.port,
        keys.tag,
        {key: value[:META_LIMIT] for key, value in meta.items()},
        min(65535, max(1, round(replica.weight * 100))),
        check,
    )


def of_sidecar(keys: Keys, check: str, options: CheckOptions) -> Instance:
    """The instance that carries the gRPC check on `check`, a host:port.

    Raises:
        InvalidInput: it is no host:port.
    """
    name = keys.sidecar(check)
    host, port = split_check(check)
    grpc = {
        "CheckID": f"{name}:grpc",
        "Name": "grpc.health.v1",
        "Status": "passing",
        "GRPC": check,
        "GRPCUseTLS": options.tls,
        "Interval": f"{options.interval:g}s",
        "Timeout": f"{options.timeout:g}s",
        "FailuresBeforeCritical": options.failures,
        "DeregisterCriticalServiceAfter": GARBAGE,
    }
    return Instance(name, keys.sidecar_service, host, port, keys.tag, {}, 1, grpc)


def split_check(check: str) -> tuple[str, int]:
    """Host and port of a check's address; brackets around IPv6 are taken off."""
    host, _, port = check.rpartition(":")
    if not host or not port.isdigit():
        raise InvalidInput(f"check address {check!r} is no HOST:PORT")
    return host.removeprefix("[").removesuffix("]"), int(port)
