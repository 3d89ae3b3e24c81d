"""From what a mesh.yaml and the Python files it names declare, the documents of the mesh."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from inferloom.cli.up.describe import AppDescription
from inferloom.cli.up.documents import APP, KIND, NAMED, PIPELINE, POLICY, SERVICE, SPLIT, ModelSpec
from inferloom.cli.up.located import Located
from inferloom.cli.up.meshfile import MeshFile
from inferloom.cli.up.meshfile_hosted import ServiceEntry
from inferloom.cli.up.service_spec import AppSpec, ServiceSpec
from inferloom.mesh.errors import ConfigError
from inferloom.mesh.registry.base import DocumentKey, Spec

__all__ = ["Wanted", "expand", "models_of", "services_of"]

Wanted = dict[DocumentKey, Spec]


def expand(file: MeshFile, described: Mapping[Path, AppDescription], host: str, replicas: int = 1) -> Wanted:
    """Every document by its key.

    Args:
        described: what each of the file's `sources` declares.
        host: the mesh they are for.
        replicas: of models that a Python file brings.

    Raises:
        ConfigError: a file does not declare what mesh.yaml says of it, or two things have one name.
    """
    wanted: Wanted = {}
    owners: dict[str, str] = {}

    def put(kind: str, name: str, spec: Any, where: str) -> None:
        if kind in NAMED:
            if name in owners:
                raise ConfigError(f"{where}: {kind} '{name}' has the name of something in {owners[name]}; rename one")
            owners[name] = where
        wanted[kind, name] = spec

    for model in file.models:
        put(KIND, model.name, replace(model, host=host).to_json(), "mesh.yaml")
    for name, entry in file.services.items():
        service = _service(name, entry, described[entry.source])
        put(SERVICE, name, replace(service, host=host).to_json(), "mesh.yaml")
    for name, pipeline in file.pipelines.items():
        if pipeline.source is not None:
            declared = described[pipeline.source]
            put(PIPELINE, name, _of(name, declared.pipelines, pipeline.where, declared.source, "pipeline"), "mesh.yaml")
        else:
            put(PIPELINE, name, pipeline.graph, "mesh.yaml")
    for app in file.apps:
        declared = described[app.source]
        if declared.empty:
            raise ConfigError(f"{_place(app.where)}{app.source} declares no @service and no @pipeline")
        for name, service in declared.services.items():
            if name not in file.services:
                put(SERVICE, name, replace(service, host=host).to_json(), str(app.source))
        for name, graph in declared.pipelines.items():
            if name not in file.pipelines:
                put(PIPELINE, name, graph, str(app.source))
    _add_models(wanted, described.values(), {model.name for model in file.models}, host, replicas, put)
    steps = {path for pipeline in file.pipelines.values() for path in pipeline.steps}
    for source in sorted(set(described) | steps):
        if (APP, source.stem) in wanted:
            raise ConfigError(
                f"two files are called {source.name} ({wanted[APP, source.stem]['source']}, {source}): a pipeline's steps "
                "are named by the file's name, so rename one"
            )
        wanted[APP, source.stem] = AppSpec(source.stem, source, host).to_json()
    for name, split in file.splits.items():
        wanted[SPLIT, name] = split.spec
    for name, policy in file.policies.items():
        wanted[POLICY, name] = policy.spec
    return wanted


def models_of(documents: Mapping[DocumentKey, Spec]) -> dict[str, ModelSpec]:
    """Raises InvalidInput."""
    return {name: ModelSpec.from_json(name, spec) for (kind, name), spec in documents.items() if kind == KIND}


def services_of(documents: Mapping[DocumentKey, Spec]) -> dict[str, ServiceSpec]:
    """Raises InvalidInput."""
    return {name: ServiceSpec.from_json(name, spec) for (kind, name), spec in documents.items() if kind == SERVICE}


def _service(name: str, entry: ServiceEntry, found: AppDescription) -> ServiceSpec:
    spec: ServiceSpec = _of(name, found.services, entry.where, found.source, "service")
    given = {key: getattr(entry, key) for key in ("replicas", "cpus", "gpus", "env")}
    changes = {key: value for key, value in given.items() if value is not None}
    return replace(spec, versions={number: replace(version, **changes) for number, version in spec.versions.items()})


def _add_models(
    wanted: Wanted,
    found: Iterable[AppDescription],
    own: set[str],
    host: str,
    replicas: int,
    put: Callable[[str, str, Any, str], None],
) -> None:
    """The models that files bring; mesh.yaml's own come first, and two files may bring the same."""
    for description in found:
        for name, model in description.models.items():
            spec = replace(model, host=host, replicas=replicas).to_json()
            if name not in own and wanted.get((KIND, name)) != spec:
                put(KIND, name, spec, str(description.source))


def _of(name: str, declared: Mapping[str, Any], where: Located, source: Path, kind: str) -> Any:
    if name not in declared:
        near = difflib.get_close_matches(name, declared, 1, 0.4)
        hint = f"did you mean '{near[0]}'?" if near else f"it declares {', '.join(sorted(declared)) or 'none'}"
        raise where.error(f"{kind} '{name}': {source} declares no such {kind}; {hint}")
    return declared[name]


def _place(where: Located | None) -> str:
    return f"{where.place}: " if where is not None else ""
