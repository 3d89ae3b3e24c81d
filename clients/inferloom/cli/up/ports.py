"""Which ports a mesh takes on this machine: the router's own, or one that Envoy has in front of it."""

from __future__ import annotations

from dataclasses import dataclass

from inferloom.cli.envoy import need_edge
from inferloom.cli.http import choose_http
from inferloom.cli.up.documents import ENVOY, GATEWAYS, MeshSpec
from inferloom.mesh.errors import ConfigError
from inferloom.mesh.listen import Address, check_free, free_port, parse_address

__all__ = ["Ports", "choose_ports"]

DEFAULT = "127.0.0.1:8081"
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Ports:
    """All are settled: none is 0."""

    public: Address  # what clients use for gRPC: the edge's, or the router's
    router: Address  # where the router takes gRPC
    http: Address | None  # where it takes JSON; None: nowhere
    control: Address | None = None  # of the control plane; None: there is none
    control_admin: Address | None = None  # its admin face: the same however often it is started, for a Prometheus
    note: str = ""  # for the user, where the HTTP port is not the default one because that is in use

    @property
    def edge(self) -> bool:
        """Whether Envoy is in front: then it has the public port for HTTP, too, and the router's are its own."""
        return self.control is not None


def choose_ports(mesh: MeshSpec, *, grpc: str | None, http: str | None, gateway: str | None) -> tuple[Ports, list[str]]:
    """The ports, and notes for the user about who can reach them.

    Args:
        mesh: what mesh.yaml says.
        grpc, http, gateway: what the command line says; None: nothing.

    Raises:
        ConfigError: a port is in use, Envoy is asked for and not there, or the options contradict each other.
    """
    envoy = _gateway(mesh, gateway) == ENVOY
    if envoy:
        need_edge()
    place = "--http" if http is not None else mesh.http_place
    asked = http or mesh.http
    option = "--grpc" if grpc or not mesh.grpc else mesh.grpc_place
    public = parse_address(grpc or mesh.grpc or DEFAULT, option)
    check_free(public, option)
    notes = []
    if not public.loopback:
        role = "edge" if envoy else "router"
        notes.append(f"whoever reaches {public} can call the models: `inferloom {role}` has TLS and tokens")
    # The port is settled here: it tells this mesh from others, in its documents and in the names of its logs.
    public = Address(public.host, public.port or free_port(public.host))
    if envoy:
        if asked is not None:
            raise ConfigError(f"{place}: with gateway: envoy HTTP is on {public}, as gRPC is; leave `http` out")
        router, web, control, admin = (Address(LOOPBACK, free_port()) for _ in range(4))
        return Ports(public, router, web, control, admin), notes
    chosen, note = choose_http(asked)
    if chosen is not None and not chosen.loopback:
        notes.append(f"whoever reaches {chosen} can call the services: put a proxy with TLS and a login before it")
    return Ports(public, public, chosen, note=note), notes


def _gateway(mesh: MeshSpec, option: str | None) -> str:
    if option is not None and option not in GATEWAYS:
        raise ConfigError(f"--gateway: {option!r} is none of {', '.join(GATEWAYS)}")
    return option or mesh.gateway or GATEWAYS[0]
