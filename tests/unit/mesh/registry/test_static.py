from __future__ import annotations

import pytest

from inferloom.mesh.errors import ConfigError, InvalidInput
from inferloom.mesh.registry.static import StaticRegistry


def test_addresses_of_one_model_are_its_replicas() -> None:
    registry = StaticRegistry("iris=10.0.0.1:8001, iris=[::1]:8001,digits=:9,")
    found = {name: [one.address for one in model.replicas] for name, model in registry.catalog.models.items()}
    assert found == {"iris": ["10.0.0.1:8001", "[::1]:8001"], "digits": ["127.0.0.1:9"]}
    assert all(one.usable and not one.versions for one in registry.catalog.replicas())


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("iris", ConfigError, "'iris' is no MODEL=HOST:PORT"),
        ("iris=host", ConfigError, "--registry static: 'host' is no HOST:PORT"),
        ("a b=h:1", InvalidInput, "'a b' is no model name"),
    ],
)
def test_a_wrong_entry_is_named(text: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        StaticRegistry(text)
