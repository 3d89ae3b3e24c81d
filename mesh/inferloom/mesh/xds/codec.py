"""Requests and answers as bytes, by envoy_data_plane's messages. Imported by who serves them; the rest does without."""

from __future__ import annotations

from inferloom.mesh.errors import ConfigError
from inferloom.mesh.xds.discovery import Ask, Node, Push

try:
    from envoy_data_plane.envoy.config.core.v3 import ControlPlane
    from envoy_data_plane.envoy.service.discovery.v3 import DiscoveryRequest, DiscoveryResponse
    from envoy_data_plane.google.protobuf import Any as Packed
except ImportError as error:
    raise ConfigError(f"the control plane needs envoy-data-plane ({error}): pip install 'inferloom[edge]'") from error

__all__ = ["decode_ask", "encode_push"]

WHO = ControlPlane(identifier="inferloom")


def decode_ask(data: bytes) -> Ask:
    """A DiscoveryRequest. Raises ValueError where it is none."""
    found = DiscoveryRequest.parse(data)
    error = ""
    if found.error_detail is not None:
        error = found.error_detail.message or f"refused with code {found.error_detail.code}"
    node = None
    if found.node is not None:
        place = found.node.locality
        zone = "/".join(part for part in (place.region, place.zone) if part) if place is not None else ""
        metadata = found.node.metadata.to_dict() if found.node.metadata is not None else {}
        node = Node(found.node.id, zone, metadata)
    names = tuple(found.resource_names)
    return Ask(found.type_url, names, found.version_info, found.response_nonce, error, node)


def encode_push(push: Push) -> bytes:
    """A DiscoveryResponse."""
    packed = [Packed(type_url=push.type, value=data) for data in push.resources.values()]
    answer = DiscoveryResponse(
        version_info=push.version, resources=packed, type_url=push.type, nonce=push.nonce, control_plane=WHO
    )
    return bytes(answer)
