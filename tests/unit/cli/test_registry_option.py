"""`--registry`: the registry that a text names."""

from __future__ import annotations

import pytest

from inferloom.cli.registry import FORMS, open_registry
from inferloom.mesh.errors import ConfigError
from inferloom.mesh.registry.memory import MemoryRegistry


@pytest.mark.parametrize("text", ["memory", "static:"])
def test_a_registry_in_memory_knows_nobody_at_first(text: str) -> None:
    found = open_registry(text)
    assert isinstance(found, MemoryRegistry)
    assert not found.catalog.models


def test_fixed_addresses_are_replicas() -> None:
    replicas = open_registry("static:iris=127.0.0.1:1,iris=127.0.0.1:2").catalog.models["iris"].replicas
    assert [replica.port for replica in replicas] == [1, 2]


@pytest.mark.parametrize("text", ["", "memry", "memory:", "etcd://127.0.0.1:1"])
def test_what_is_none_is_refused_and_told_what_there_is(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_registry(text)
    assert str(caught.value) == f"--registry: {text!r} is none of {FORMS}"
