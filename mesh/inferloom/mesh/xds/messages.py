"""Small makers of messages that every part of the compiler needs."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import betterproto2
from envoy_data_plane.envoy.config.core.v3 import (
    Address,
    AggregatedConfigSource,
    ApiVersion,
    ConfigSource,
    HeaderValue,
    HeaderValueOption,
    HeaderValueOptionHeaderAppendAction,
    SocketAddress,
    TypedExtensionConfig,
)
from envoy_data_plane.envoy.config.route.v3 import HeaderMatcher
from envoy_data_plane.envoy.type.matcher.v3 import StringMatcher
from envoy_data_plane.envoy.type.v3 import Percent
from envoy_data_plane.google.protobuf import Any as AnyMessage
from envoy_data_plane.google.protobuf import Struct

__all__ = [
    "ADS",
    "OFF",
    "duration",
    "extension",
    "header_is",
    "is_address",
    "overwritten",
    "packed",
    "percent",
    "socket",
    "struct",
]

OFF = timedelta()  # a time-out of 0: none
SHORTEST = 0.001  # seconds: Envoy counts in milliseconds, and refuses 0 where a time must be above it
LONGEST = timedelta(seconds=315_576_000_000)  # of google.protobuf.Duration
ADS = ConfigSource(ads=AggregatedConfigSource(), resource_api_version=ApiVersion.V3)


def packed(message: betterproto2.Message) -> AnyMessage:
    return AnyMessage.pack(message)


def extension(name: str, config: betterproto2.Message) -> TypedExtensionConfig:
    return TypedExtensionConfig(name=name, typed_config=packed(config))


def struct(values: Mapping[str, Any]) -> Struct:
    """A google.protobuf.Struct of plain JSON."""
    found: Struct = Struct.from_dict(dict(values))
    return found


def duration(seconds: float) -> timedelta:
    """At least a millisecond. What no message holds becomes the longest that one does, which Envoy refuses by itself."""
    try:
        return min(timedelta(seconds=max(seconds, SHORTEST)), LONGEST)
    except OverflowError:
        return LONGEST


def percent(share: float) -> Percent:
    """Of a share of 0 to 1."""
    return Percent(value=100 * share)


def socket(host: str, port: int) -> Address:
    return Address(socket_address=SocketAddress(address=host, port_value=port))


def is_address(host: str) -> bool:
    """Whether it is an IP address; a name must be resolved."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def header_is(name: str, value: str) -> HeaderMatcher:
    return HeaderMatcher(name=name, string_match=StringMatcher(exact=value))


def overwritten(name: str, value: str) -> HeaderValueOption:
    """A header that takes the place of what is there."""
    action = HeaderValueOptionHeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD
    return HeaderValueOption(header=HeaderValue(key=name, value=value), append_action=action)
