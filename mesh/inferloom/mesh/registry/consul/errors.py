"""Consul's failures in inferloom's words: one line that names the address and the cure."""

from __future__ import annotations

import ssl

import aiohttp
from consul.exceptions import ACLPermissionDenied, BadRequest, ClientError, ConsulException

from inferloom.mesh.errors import Forbidden, InferloomError, InvalidInput, RegistryUnavailable, Unauthenticated
from inferloom.mesh.registry.consul.settings import ConsulSettings

__all__ = ["not_consul", "refused", "unreachable"]


def unreachable(settings: ConsulSettings, error: BaseException) -> RegistryUnavailable:
    """Nothing answered at the address, or not in time."""
    address = settings.address
    if isinstance(error, (aiohttp.ClientSSLError, ssl.SSLError)) or "[SSL" in str(error):
        return RegistryUnavailable(
            f"no TLS with Consul at {address} ({_short(error)}): set CONSUL_CACERT to its authority's certificate, "
            "CONSUL_CLIENT_CERT and CONSUL_CLIENT_KEY to yours, or use http://"
        )
    if isinstance(error, TimeoutError):
        return RegistryUnavailable(
            f"Consul at {address} does not answer in time: look at the agent's log and its leader"
        )
    reason = "connection refused" if isinstance(error, aiohttp.ClientConnectorError) else _short(error)
    if isinstance(error, aiohttp.ClientConnectorError) and not isinstance(error.os_error, ConnectionRefusedError):
        reason = error.os_error.strerror or _short(error)
    return RegistryUnavailable(
        f"no Consul at {address} ({reason}): start one with `consul agent -dev`, or set CONSUL_HTTP_ADDR"
    )


def refused(settings: ConsulSettings, error: ConsulException, needs: str) -> InferloomError:
    """Consul answered, with an error.

    Args:
        needs: the rule of an ACL policy that allows what was asked.
    """
    address, said = settings.address, _short(error)
    if isinstance(error, ACLPermissionDenied):
        if "ACL not found" in said:
            return Unauthenticated(f"Consul at {address} does not know the token: check CONSUL_HTTP_TOKEN")
        who = "the token lacks" if settings.token else "no token is set (CONSUL_HTTP_TOKEN) and anonymous lacks"
        return Forbidden(f"Consul at {address}: {said}: {who} `{needs}`")
    if isinstance(error, BadRequest) and "HTTP request to an HTTPS server" in said:
        return RegistryUnavailable(
            f"Consul at {address} speaks TLS: write https://{address}, or set CONSUL_HTTP_SSL=true"
        )
    if said.startswith("Failed to decode JSON"):
        return not_consul(settings, error)
    if isinstance(error, (BadRequest, ClientError)):
        return InvalidInput(f"Consul at {address} refuses: {said}")
    return RegistryUnavailable(
        f"Consul at {address} cannot answer now ({said}): look at the agent's log and its leader"
    )


def not_consul(settings: ConsulSettings, error: Exception) -> RegistryUnavailable:
    """Something else answers at the address."""
    return RegistryUnavailable(f"{settings.address} does not answer as Consul does ({_short(error)}): is it one?")


def _short(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else text[:197] + "..."
