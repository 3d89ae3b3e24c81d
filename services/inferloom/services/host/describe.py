"""What a file declares, as JSON: for whoever starts hosts without importing users' code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from inferloom.mesh.errors import InferloomError
from inferloom.services.declare.app import App, ModelDeclaration, ServiceDeclaration, collect
from inferloom.services.host.load import Loader

__all__ = ["describe"]


def describe(source: str) -> str:
    """A JSON object: services, models, pipelines (as graphs), places (lines of their nodes), and errors in single pipelines.

    Raises:
        ConfigError: the file does not import, or declares something wrong: "file:line: TypeName: message".
    """
    loader = Loader(source)
    return json.dumps(loader.load(lambda module: _described(collect(module))), indent=1)


def _described(app: App) -> dict[str, Any]:
    for service in app.services.values():
        for method in service.methods:
            service.types(method)
    pipelines, places, errors = _graphs(app)
    return {
        "services": {name: _service(service) for name, service in app.services.items()},
        "models": {name: _model(model, app.file.parent) for name, model in app.models.items()},
        "pipelines": pipelines,
        "places": places,
        "steps": sorted(app.steps),
        "errors": errors,
    }


def _service(service: ServiceDeclaration) -> dict[str, Any]:
    return {
        "version": service.version,
        "replicas": service.replicas,
        "cpus": service.cpus,
        "gpus": service.gpus,
        "env": dict(service.env),
        "repeat": service.repeat.value,
        "stream": service.stream,
        "asgi": service.asgi is not None,
        "max_ongoing": service.max_ongoing,
        "methods": [service.catalog_name(method) for method in service.methods],
    }


def _model(model: ModelDeclaration, folder: Path) -> dict[str, Any]:
    """Its source relative to the app's file, where it lies below its folder."""
    path = model.path
    if path is None:
        return {"source": "", "version": model.version}
    whole, below = path.resolve(), folder.resolve()
    return {
        "source": str(whole.relative_to(below)) if whole.is_relative_to(below) else str(whole),
        "version": model.version,
    }


def _graphs(app: App) -> tuple[dict[str, Any], dict[str, dict[str, str]], list[str]]:
    """Graphs, "file:line" of their nodes, and what is wrong with single ones."""
    if not app.pipelines:
        return {}, {}, []
    from inferloom.services.composer.graph import spec_of
    from inferloom.services.composer.trace import traced

    graphs, places, errors = {}, {}, []
    for name, declaration in app.pipelines.items():
        try:
            found = traced(declaration)
            graphs[name], places[name] = spec_of(found.graph), dict(found.places)
        except InferloomError as error:
            errors.append(str(error))
    return graphs, places, errors
