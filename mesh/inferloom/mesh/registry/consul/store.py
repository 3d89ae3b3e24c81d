"""Documents as bytes, and what a watcher knows of them. Pure: no I/O.

A deleted document leaves its last version, without a spec, under its key. A key that is gone after a failure, or after
the index went backwards, was therefore lost rather than deleted: what was known of it is kept.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from inferloom.mesh.registry.base import Document, DocumentKey
from inferloom.mesh.registry.consul.keys import Keys
from inferloom.mesh.registry.consul.parse import Entry

__all__ = ["Store", "decode_document", "encode_document"]

Snapshot = Mapping[DocumentKey, Document]
NONE: Snapshot = MappingProxyType({})

log = logging.getLogger(__name__)


def encode_document(document: Document, write: str) -> bytes:
    """UTF-8 JSON; `write` tells two writes of the same content apart.

    Raises:
        ValueError, TypeError: the spec is not JSON-able.
    """
    found = {"spec": document.spec, "version": document.version, "author": document.author, "time": document.time}
    return json.dumps(found | {"write": write}, separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode()


def decode_document(kind: str, name: str, value: str) -> Document:
    """A document from its value in base64; unknown fields are ignored.

    Raises:
        ValueError: it is none that this version understands.
    """
    try:
        found = json.loads(base64.b64decode(value))
        spec, version, time = found["spec"], found["version"], found["time"]
    except (binascii.Error, KeyError, TypeError) as error:
        raise ValueError(f"no document: {error!r}") from error
    if not isinstance(version, int) or version < 1 or not isinstance(spec, dict | None):
        raise ValueError("no document: its spec is no object, or its version no positive number")
    return Document(kind, name, spec, version, str(found.get("author", "")), float(time))


class Known(NamedTuple):
    value: str  # as it was read
    document: Document


class Store:
    """The newest version of each document, as far as is known."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._known: dict[str, Known] = {}  # by key
        self._lost: set[str] = set()  # keys that Consul has forgotten
        self._refused: dict[str, str] = {}  # by key: the value that was not understood
        self.present: Snapshot = NONE

    def take(self, entries: Sequence[Entry], *, continuous: bool) -> Snapshot:
        """All keys, as Consul states them now. Returns `present`: the same object where nothing has changed."""
        listed = {entry.key for entry in entries}
        for key in [key for key in self._known if key not in listed and key not in self._lost]:
            if continuous:
                del self._known[key]
            else:
                self._lost.add(key)
                log.warning("Consul has forgotten %s; what was known of it is kept until it is written again", key)
        self._lost -= listed
        for entry in entries:
            known = self._known.get(entry.key)
            if known is None or known.value != entry.value:
                self._read(entry)
        documents = {known.document.key: known.document for known in self._known.values()}
        present = {key: document for key, document in documents.items() if document.spec is not None}
        if len(present) != len(self.present) or any(self.present.get(key) is not present[key] for key in present):
            self.present = MappingProxyType(present)
        return self.present

    def _read(self, entry: Entry) -> None:
        place = self._keys.of_document(entry.key)
        if place is None or self._refused.get(entry.key) == entry.value:
            return
        try:
            document = decode_document(*place, entry.value)
        except ValueError as error:
            self._refused[entry.key] = entry.value
            log.warning("%s is not understood (%s): its last understood version, if any, is kept", entry.key, error)
            return
        self._refused.pop(entry.key, None)
        known = self._known.get(entry.key)
        unchanged = known is not None and known.document == document
        self._known[entry.key] = Known(entry.value, known.document if known is not None and unchanged else document)
