"""Names in Consul: services, their instances and checks, and keys.

service          iris                       the model's name in lower case, escaped; its true name is in meta
instance         inferloom:iris:<replica>   unique on its agent
record           inferloom/replicas/Iris/<replica>
document         inferloom/documents/<kind>/<name>
its versions     inferloom/history/<kind>/<name>/0000000007
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from inferloom.mesh.errors import ConfigError
from inferloom.mesh.names import check_name

__all__ = ["Keys", "service_name"]

PREFIX = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")
# Consul's names ignore case and, to be found by DNS, have letters, digits and hyphens only. A hyphen before an x is
# escaped too, so that no two names give the same service.
ESCAPED = re.compile(r"[^a-z0-9-]|-(?=x)")


def service_name(model: str) -> str:
    """The Consul service of a model: `Iris.v2` is `iris-x2e-v2`. DNS finds names of up to 63 characters."""
    return ESCAPED.sub(lambda match: f"-x{ord(match[0]):02x}-", model.lower())


@dataclass(frozen=True, slots=True)
class Keys:
    """Everything under one prefix; meshes that share a Consul have different ones."""

    prefix: str = "inferloom"

    def __post_init__(self) -> None:
        if not PREFIX.fullmatch(self.prefix):
            raise ConfigError(f"Consul prefix {self.prefix!r} is not made of a to z, 0 to 9 and '-' (at most 32)")

    @property
    def tag(self) -> str:
        """The tag of every instance."""
        return self.prefix

    @property
    def sidecar_service(self) -> str:
        """The service whose instances carry the gRPC checks, one per sidecar."""
        return f"{self.prefix}-sidecar"

    @property
    def replicas(self) -> str:
        return f"{self.prefix}/replicas/"

    @property
    def documents(self) -> str:
        return f"{self.prefix}/documents/"

    def record(self, model: str, replica: str) -> str:
        return f"{self.replicas}{check_name(model, 'model name')}/{check_name(replica, 'replica id')}"

    def of_record(self, key: str) -> tuple[str, str] | None:
        """(model, replica) of a record's key; None for other keys."""
        return _pair(key, self.replicas)

    def instance(self, model: str, replica: str) -> str:
        """The id of a replica's service instance."""
        return f"{self.prefix}:{service_name(model)}:{replica}"

    def sidecar(self, check: str) -> str:
        """The id of the instance that carries the gRPC check on this address."""
        return f"{self.sidecar_service}:{check}"

    def document(self, kind: str, name: str) -> str:
        return f"{self.documents}{check_name(kind, 'kind of document')}/{check_name(name, 'name of a document')}"

    def of_document(self, key: str) -> tuple[str, str] | None:
        """(kind, name) of a document's key; None for other keys."""
        return _pair(key, self.documents)

    def history(self, kind: str, name: str) -> str:
        return f"{self.prefix}/history/{check_name(kind, 'kind of document')}/{check_name(name, 'name of a document')}/"

    def version(self, kind: str, name: str, version: int) -> str:
        """Keys sort as versions do."""
        return f"{self.history(kind, name)}{version:010d}"


def _pair(key: str, prefix: str) -> tuple[str, str] | None:
    parts = key.removeprefix(prefix).split("/")
    if not key.startswith(prefix) or len(parts) != 2 or not all(parts):
        return None
    return parts[0], parts[1]
