"""A serialised RouteConfiguration taken apart into its virtual hosts, and put together again.

A message is a sequence of fields in any order, so hosts can be exchanged as bytes: nothing is decoded but names.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["catches_all", "join", "split"]

HOSTS = 2  # RouteConfiguration.virtual_hosts
NAME, DOMAINS = 1, 2  # of VirtualHost
BYTES = 2  # wire type: length, then so many bytes
FIXED = {1: 8, 5: 4}  # wire type: bytes


def split(data: bytes) -> tuple[bytes, dict[str, bytes]]:
    """All fields but the hosts, and the hosts by name, in order.

    Raises:
        ValueError: this is no protobuf message.
    """
    rest, hosts = bytearray(), {}
    for number, start, body, end in _fields(data):
        if number == HOSTS:
            host = data[body:end]
            hosts[_name(host)] = host
        else:
            rest += data[start:end]
    return bytes(rest), hosts


def join(rest: bytes, hosts: Mapping[str, bytes]) -> bytes:
    """The RouteConfiguration of these."""
    parts = [rest]
    for host in hosts.values():
        parts += (bytes((HOSTS << 3 | BYTES,)), _varint(len(host)), host)
    return b"".join(parts)


def catches_all(host: bytes) -> bool:
    """Whether a host's domain is "*": the one for whatever no other takes."""
    return any(number == DOMAINS and host[body:end] == b"*" for number, _, body, end in _fields(host))


def _name(host: bytes) -> str:
    for number, _, body, end in _fields(host):
        if number == NAME:
            return host[body:end].decode()
    return ""


def _fields(data: bytes) -> list[tuple[int, int, int, int]]:
    """(number, start, start of the contents, end) of each field."""
    found, at, size = [], 0, len(data)
    while at < size:
        start = at
        tag, at = _read(data, at)
        wire = tag & 7
        if wire == 0:
            body, end = at, _read(data, at)[1]
        elif wire == BYTES:
            length, body = _read(data, at)
            end = body + length
        elif wire in FIXED:
            body, end = at, at + FIXED[wire]
        else:
            raise ValueError(f"wire type {wire} at byte {start}")
        if end > size:
            raise ValueError(f"the field at byte {start} is cut off")
        found.append((tag >> 3, start, body, end))
        at = end
    return found


def _read(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError(f"no number at byte {at}")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
