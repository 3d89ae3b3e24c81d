"""What a user's file declares, all of it: `collect(module)`."""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from inferloom.mesh.errors import ConfigError
from inferloom.services.declare.model import Model, ModelDeclaration
from inferloom.services.declare.options import check_name
from inferloom.services.declare.pipeline import Pipeline
from inferloom.services.declare.pipeline_declaration import PipelineDeclaration
from inferloom.services.declare.resource import Resource
from inferloom.services.declare.service import Service, ServiceDeclaration
from inferloom.services.declare.step import Step, StepDeclaration

__all__ = [
    "App",
    "ModelDeclaration",
    "PipelineDeclaration",
    "ServiceDeclaration",
    "StepDeclaration",
    "collect",
]

D = TypeVar("D", ServiceDeclaration, ModelDeclaration, PipelineDeclaration, StepDeclaration)


@dataclass(frozen=True)
class App:
    """The declarations of one file and of the modules beside it that it uses."""

    module: str
    file: Path
    services: Mapping[str, ServiceDeclaration]  # by name; steps with replicas of their own are among them
    models: Mapping[str, ModelDeclaration]  # by name
    pipelines: Mapping[str, PipelineDeclaration]  # by name
    steps: Mapping[str, StepDeclaration]  # by reference, "module:name"
    resources: Mapping[str, Resource[Any]]  # by the variable's name


def collect(module: ModuleType) -> App:
    """What a module declares, or imports from modules in its own folder that declare it.

    Raises:
        ConfigError: two things have one name, or an ASGI application's variable is no name; says where they stand.
    """
    file = Path(getattr(module, "__file__", None) or module.__name__)
    services: dict[str, ServiceDeclaration] = {}
    models: dict[str, ModelDeclaration] = {}
    pipelines: dict[str, PipelineDeclaration] = {}
    steps: dict[str, StepDeclaration] = {}
    resources: dict[str, Resource[Any]] = {}
    for variable, value in _values(module, file.parent):
        match value:
            case Service():
                declaration = _named(value, variable)
                _add(services, declaration.name, declaration, "services")
            case Model():
                _add_model(models, value.declaration)
            case Pipeline():
                _add(pipelines, value.name, value.declaration, "pipelines")
            case Step():
                _add(steps, value.declaration.reference, value.declaration, "steps")
            case Resource():
                value.name = variable
                resources[variable] = value
    for step in steps.values():
        if step.replicas:
            _add(services, step.name, _hosted(step), "services")
    for name, pipeline in pipelines.items():
        if name in services:
            raise ConfigError(f"{pipeline.place}: '{name}' is also a service, at {services[name].place}: rename one")
    for name, model in models.items():
        known: Any = services.get(name) or pipelines.get(name)
        if model.source and known is not None:
            raise ConfigError(f"{model.place}: '{name}' is served from {model.source} and is declared at {known.place}")
    return App(module.__name__, file, services, models, pipelines, steps, resources)


def _values(module: ModuleType, folder: Path) -> Iterator[tuple[str, Any]]:
    """The variables of a module and of those of its folder that it uses, each object once."""
    todo, seen, given = [module], {module.__name__}, set()
    while todo:
        here = todo.pop(0)
        for variable, value in list(vars(here).items()):
            if isinstance(value, Service | Model | Pipeline | Step | Resource) and id(value) not in given:
                given.add(id(value))
                yield variable, value
            name = value.__name__ if isinstance(value, ModuleType) else _home(value)
            other = sys.modules.get(name) if name and name not in seen else None
            if other is not None and _is_under(other, folder):
                seen.add(name)
                todo.append(other)


def _home(value: Any) -> str:
    target = value.declaration.function if isinstance(value, Step | Pipeline) else value
    name = getattr(target, "__module__", "")
    return name if isinstance(name, str) else ""


def _is_under(module: ModuleType, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    return bool(file) and folder.resolve() in Path(str(file)).resolve().parents


def _named(value: Service[Any, Any], variable: str) -> ServiceDeclaration:
    """An ASGI application without a name is called as the variable it is assigned to."""
    if not value.declaration.name:
        name = check_name(variable, value.declaration.place, "service")
        value.declaration = replace(value.declaration, name=name)
        value.name = name
    return value.declaration


def _add(known: dict[str, D], name: str, declaration: D, what: str) -> None:
    before = known.get(name)
    if before is not None and before.place != declaration.place:
        raise ConfigError(f"{declaration.place}: two {what} are named '{name}'; the other is at {before.place}")
    known[name] = declaration


def _add_model(known: dict[str, ModelDeclaration], declaration: ModelDeclaration) -> None:
    """Several handles to one model are well, as long as at most one says where it comes from."""
    before = known.get(declaration.name)
    if before is None or not before.source:
        known[declaration.name] = declaration
    elif declaration.source and declaration.path != before.path:
        raise ConfigError(
            f"{declaration.place}: model '{declaration.name}' comes from {declaration.source}, "
            f"and from {before.source} at {before.place}"
        )


def _hosted(step: StepDeclaration) -> ServiceDeclaration:
    """The service that a step with replicas of its own is."""
    function = step.function if step.is_async else _threaded(step.function)
    return ServiceDeclaration(
        name=step.name,
        target=function,
        replicas=step.replicas,
        cpus=step.cpus,
        methods={step.function.__name__: function},
        default=step.function.__name__,
        rows=step.rows,
        place=step.place,
    )


def _threaded(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        return await asyncio.to_thread(function, *args, **kwargs)

    assert inspect.iscoroutinefunction(call)
    return call
