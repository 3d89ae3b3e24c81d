"""`--registry`: where a role finds the others."""

from __future__ import annotations

from inferloom.mesh.errors import ConfigError
from inferloom.mesh.listen import parse_address
from inferloom.mesh.registry.base import Registry

__all__ = ["FORMS", "open_registry"]

FORMS = "consul, consul://HOST:PORT, mesh://HOST:PORT or static:MODEL=HOST:PORT,..."


def open_registry(text: str, token: str | None = None) -> Registry:
    """The registry that a text names; not started.

        consul                   as CONSUL_HTTP_ADDR and its fellows say, else 127.0.0.1:8500
        consul://HOST:PORT
        mesh://HOST:PORT         another router's, over MeshService
        static:MODEL=HOST:PORT   fixed addresses, several separated by commas

    Raises:
        ConfigError: it is none of these.
    """
    if text == "consul" or text.startswith("consul://"):
        from inferloom.mesh.registry.consul import ConsulRegistry

        where = text.removeprefix("consul").removeprefix("://")
        return ConsulRegistry.from_environment(str(parse_address(where, "--registry")) if where else None)
    if text.startswith("mesh://"):
        from inferloom.mesh.registry.remote import RemoteRegistry

        return RemoteRegistry(str(parse_address(text.removeprefix("mesh://"), "--registry")), token=token)
    if text.startswith("static:"):
        from inferloom.mesh.registry.static import StaticRegistry

        return StaticRegistry(text.removeprefix("static:"))
    raise ConfigError(f"--registry: {text!r} is none of {FORMS}")
