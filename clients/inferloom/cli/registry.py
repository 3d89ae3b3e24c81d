"""`--registry`: where a role finds the others."""

from __future__ import annotations

import os
from collections.abc import Callable

from inferloom.mesh.errors import ConfigError
from inferloom.mesh.listen import parse_address
from inferloom.mesh.registry.base import Registry

__all__ = ["FORMS", "open_registry"]

FORMS = (
    "consul, consul://HOST:PORT, mesh://HOST:PORT, static:MODEL=HOST:PORT,... or memory (its own; a router's is reached "
    "by mesh://)"
)
VARIABLE = "INFERLOOM_CONTROL"


def open_registry(text: str, token: str | None = None, control: str | None = None) -> Registry:
    """The registry that a text names; not started.

    Args:
        token: of the mesh, for who asks another process of it.
        control: HOST:PORT of this machine's control process, which then watches Consul for this one; "": none; None:
            as $INFERLOOM_CONTROL says. Only Consul is watched so.

        consul                   as CONSUL_HTTP_ADDR and its fellows say, else 127.0.0.1:8500
        consul://HOST:PORT
        mesh://HOST:PORT         another router's, over MeshService
        static:MODEL=HOST:PORT   fixed addresses, several separated by commas
        memory                   in this process; of a router, others take part in it by mesh://

    Raises:
        ConfigError: it is none of these.
    """
    if text == "consul" or text.startswith("consul://"):
        from inferloom.mesh.registry.consul import ConsulRegistry

        where = text.removeprefix("consul").removeprefix("://")
        address = str(parse_address(where, "--registry")) if where else None

        def consul() -> Registry:
            return ConsulRegistry.from_environment(address)

        shared = os.environ.get(VARIABLE, "") if control is None else control
        return _shared(consul, shared, token) if shared else consul()
    if text.startswith("mesh://"):
        from inferloom.mesh.registry.remote import RemoteRegistry

        return RemoteRegistry(str(parse_address(text.removeprefix("mesh://"), "--registry")), token=token)
    if text.startswith("static:"):
        from inferloom.mesh.registry.static import StaticRegistry

        return StaticRegistry(text.removeprefix("static:"))
    if text == "memory":
        from inferloom.mesh.registry.memory import MemoryRegistry

        return MemoryRegistry()
    raise ConfigError(f"--registry: {text!r} is none of {FORMS}")


def _shared(consul: Callable[[], Registry], control: str, token: str | None) -> Registry:
    from inferloom.mesh.registry.remote import RemoteRegistry
    from inferloom.mesh.registry.shared_watch import SharedWatch

    where = str(parse_address(control, "--control"))
    return SharedWatch(consul(), lambda: RemoteRegistry(where, token=token), consul)
