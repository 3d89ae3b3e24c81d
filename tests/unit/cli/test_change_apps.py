"""What `inferloom add app.py` writes beside what is there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from inferloom.cli.change_apps import additions
from inferloom.cli.up.service_spec import AppSpec, ServiceSpec, ServiceVersion
from inferloom.mesh.errors import InvalidInput
from inferloom.mesh.registry.base import Document, DocumentKey, Spec

APP, NEW = Path("/a/app.py"), Path("/b/new.py")


def service(name: str, source: Path = APP, version: str = "1") -> dict[DocumentKey, Spec]:
    return {("service", name): ServiceSpec(name, {version: ServiceVersion(source)}, "here/1").to_json()}


def app(source: Path) -> dict[DocumentKey, Spec]:
    return {("app", source.stem): AppSpec(source.stem, source, "here/1").to_json()}


def present(specs: Mapping[DocumentKey, Spec]) -> dict[DocumentKey, Document]:
    return {key: Document(*key, spec, 1, "ada", 1.0) for key, spec in specs.items()}


def test_what_is_new_is_written() -> None:
    assert additions({**service("A"), **app(APP)}, {}) == {**service("A"), **app(APP)}


def test_what_is_there_already_is_not() -> None:
    wanted = {**service("A"), **app(APP), ("pipeline", "p"): {"nodes": []}}
    assert additions(wanted, present(wanted)) == {}


def test_a_version_comes_beside_those_that_are_there() -> None:
    new = additions(service("A", NEW, "2"), present(service("A")))
    assert list(new["service", "A"]["versions"]) == ["1", "2"]
    earlier = additions(service("A", NEW, "2"), present(service("A", APP, "10")))
    assert list(earlier["service", "A"]["versions"]) == ["2", "10"]


@pytest.mark.parametrize(
    ("wanted", "there", "said"),
    [
        (service("A", NEW), service("A"), "service 'A' has a version 1 already, from /a/app.py: give this one another"),
        (
            service("A"),
            {("model", "A"): {"versions": {}}},
            "service 'A': the mesh has a model of this name; rename one",
        ),
        (app(Path("/b/app.py")), app(APP), "app.py is served already, from /a/app.py: rename one of the files"),
        ({("pipeline", "p"): {"nodes": [1]}}, {("pipeline", "p"): {"nodes": []}}, "there is a pipeline 'p' already"),
    ],
)
def test_what_is_taken_is_refused(wanted: Any, there: Any, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        additions(wanted, present(there))
