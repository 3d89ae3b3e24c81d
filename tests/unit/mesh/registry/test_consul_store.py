from __future__ import annotations

import base64

import pytest

from inferloom.mesh.registry.base import Document
from inferloom.mesh.registry.consul.keys import Keys
from inferloom.mesh.registry.consul.parse import Entry
from inferloom.mesh.registry.consul.store import Store, decode_document, encode_document

KEYS = Keys()


def document(name: str, version: int = 1, spec: dict[str, int] | None = None) -> Document:
    return Document("policy", name, spec if spec is not None else {"n": version}, version, "ada", 1.5)


def entry(found: Document, modified: int) -> Entry:
    value = base64.b64encode(encode_document(found, "w")).decode()
    return Entry(KEYS.document(found.kind, found.name), modified, value)


@pytest.fixture
def store() -> Store:
    store = Store(KEYS)
    store.take([entry(document("one"), 1), entry(document("two"), 2)], continuous=False)
    return store


def test_an_unchanged_snapshot_is_the_same_object(store: Store) -> None:
    before = store.present
    assert store.take([entry(document("one"), 1), entry(document("two"), 2)], continuous=True) is before
    assert store.take([entry(document("one"), 8), entry(document("two"), 9)], continuous=False) is before


def test_a_changed_document_changes_only_itself(store: Store) -> None:
    before = store.present
    after = store.take([entry(document("one"), 1), entry(document("two", 2), 3)], continuous=True)
    assert after["policy", "two"] == document("two", 2)
    assert after["policy", "one"] is before["policy", "one"]


def test_a_key_that_was_taken_out_is_gone(store: Store) -> None:
    assert set(store.take([entry(document("one"), 1)], continuous=True)) == {("policy", "one")}


def test_a_key_that_consul_forgot_is_kept_until_it_is_written_again(store: Store) -> None:
    before = store.take([], continuous=False)
    assert len(before) == 2
    assert store.take([], continuous=True) is before
    again = document("one", 1, {"n": 77})
    assert store.take([entry(again, 1)], continuous=True)["policy", "one"] == again
    assert set(store.take([], continuous=True)) == {("policy", "two")}


def test_a_version_without_a_spec_is_a_deletion(store: Store) -> None:
    deleted = Document("policy", "one", None, 2, "", 2.0)
    after = store.take([entry(deleted, 5), entry(document("two"), 2)], continuous=True)
    assert set(after) == {("policy", "two")}
    assert set(store.take([], continuous=False)) == {("policy", "two")}


def test_what_is_not_understood_keeps_its_last_version(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        store.take([Entry(KEYS.document("policy", "one"), 5, "***"), entry(document("two"), 2)], continuous=True)
    assert store.present["policy", "one"] == document("one")
    assert caplog.text.count("is not understood") == 1


@pytest.mark.parametrize(
    "value", [b"\xff", b"[]", b"{}", b'{"spec":1,"version":1,"time":1}', b'{"spec":{},"version":0}']
)
def test_what_is_no_document_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        decode_document("policy", "one", base64.b64encode(value).decode())
