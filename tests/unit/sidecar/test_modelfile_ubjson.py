"""UBJSON as XGBoost writes it."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferloom.sidecar.modelfile.ubjson import Malformed, loads


def name(text: str) -> bytes:
    return b"L" + struct.pack(">q", len(text)) + text.encode()


def test_objects_strings_numbers_and_arrays_are_read() -> None:
    document = b"{" + name("a") + b"S" + name("x") + name("b") + b"[i\x05F]" + name("c") + b"D" + struct.pack(">d", 0.5)
    assert loads(document + b"}") == {"a": "x", "b": [5, False], "c": 0.5}


def test_a_typed_array_is_skipped_and_its_length_told() -> None:
    document = b"{" + name("w") + b"[$d#" + b"L" + struct.pack(">q", 3) + bytes(12) + name("z") + b"i\x01}"
    assert loads(document) == {"w": 3, "z": 1}


@pytest.mark.parametrize(
    "document", [b"", b"{", b"{L\0", b"[$d#L" + struct.pack(">q", 9), b"?", b"S" + name("ab")[:-1]]
)
def test_what_is_cut_short_or_no_ubjson_is_malformed(document: bytes) -> None:
    with pytest.raises(Malformed):
        loads(document)


@given(st.binary(max_size=100))
def test_any_bytes_are_a_document_or_malformed(data: bytes) -> None:
    with contextlib.suppress(Malformed):
        loads(data)
