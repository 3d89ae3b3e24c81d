"""The registry in Consul; docs/consul.md describes what it keeps there and which permissions it needs."""

from inferloom.mesh.registry.consul.instance import CheckOptions
from inferloom.mesh.registry.consul.registry import ConsulRegistry
from inferloom.mesh.registry.consul.settings import ConsulSettings

__all__ = ["CheckOptions", "ConsulRegistry", "ConsulSettings"]
