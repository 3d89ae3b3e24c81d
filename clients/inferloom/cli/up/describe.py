"""What a Python file declares, told by a process of its own: users' code is never imported here."""

from __future__ import annotations

import ast
import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inferloom.cli.up.documents import ModelSpec, VersionSpec
from inferloom.cli.up.fleet import INFERLOOM
from inferloom.cli.up.hints_file import hinted
from inferloom.cli.up.service_spec import AppSpec, ServiceSpec, ServiceVersion
from inferloom.mesh.errors import ConfigError, InvalidInput
from inferloom.mesh.process import guarded
from inferloom.sidecar.modelfile.recognise import recognise

__all__ = ["AppDescription", "Describe", "describe", "is_app", "may_be_app"]

PATIENCE = 120.0  # seconds a file may take to be imported
WHOLE = frozenset({"inferloom", "inferloom.sdk"})
DECORATORS = frozenset({"service", "pipeline", "step", "sdk", "*"})


@dataclass(frozen=True, slots=True)
class AppDescription:
    """The declarations of one file, as documents would hold them."""

    source: Path
    services: Mapping[str, ServiceSpec] = field(default_factory=dict)
    models: Mapping[str, ModelSpec] = field(default_factory=dict)  # those that name a file of their own
    pipelines: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # graphs
    # "file:line" of their nodes; two descriptions of what says the same are the same, wherever it stands
    places: Mapping[str, Mapping[str, str]] = field(default_factory=dict, compare=False)

    @property
    def empty(self) -> bool:
        return not (self.services or self.pipelines)

    def app(self, host: str = "") -> AppSpec:
        return AppSpec(self.source.stem, self.source, host)


Describe = Callable[[Path], Awaitable[AppDescription]]


async def describe(path: Path) -> AppDescription:
    """Ask `inferloom host --describe`.

    Raises:
        InvalidInput: the file does not import, or declares something wrong: one line that says what and where.
    """
    source = path.resolve()
    argv = [*INFERLOOM, "host", "--describe", str(source)]
    process = await asyncio.create_subprocess_exec(
        *guarded(argv, setpriv=shutil.which("setpriv")),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(PATIENCE):
            out, err = await process.communicate()
    except TimeoutError:
        raise InvalidInput(f"{path}: importing it does not end within {PATIENCE:.0f} s") from None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode != 0:
        lines = [line for line in err.decode(errors="replace").splitlines() if line.strip()]
        raise InvalidInput(lines[-1].removeprefix("inferloom: ") if lines else f"{path}: it does not import")
    return read(source, out.decode(errors="replace"))


def read(source: Path, text: str) -> AppDescription:
    """An answer of `inferloom host --describe`.

    Raises:
        InvalidInput: it tells of a mistake in the file.
        ConfigError: a model's file is none.
    """
    found: dict[str, Any] = json.loads(text)
    for error in found.get("errors") or ():
        raise InvalidInput(str(error))
    services, models = {}, {}
    for name, entry in found.get("services", {}).items():
        version = ServiceVersion(
            source,
            int(entry.get("replicas", 1)),
            int(entry.get("cpus", 0)),
            int(entry.get("gpus", 0)),
            {str(key): str(value) for key, value in entry.get("env", {}).items()},
        )
        services[name] = ServiceSpec(name, {str(entry.get("version") or "1"): version})
    for name, entry in found.get("models", {}).items():
        if not entry.get("source"):
            continue
        file = (source.parent / entry["source"]).resolve()
        try:
            recognise(file)
        except InvalidInput as error:
            raise ConfigError(f"{source}: model('{name}', source={entry['source']!r}): {error}") from None
        models[name] = hinted(ModelSpec(name, {str(entry.get("version") or "1"): VersionSpec(file)}))
    pipelines = {
        name: {key: value for key, value in graph.items() if key != "name"}
        for name, graph in found.get("pipelines", {}).items()
    }
    return AppDescription(source, services, models, pipelines, found.get("places", {}))


def may_be_app(path: Path) -> bool:
    """Whether a Python file looks like one with services or pipelines: only then is it run, to ask what it declares."""
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except (SyntaxError, ValueError, OSError):
        return False
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name for alias in node.names}
            if isinstance(node, ast.Import):
                found = bool(names & WHOLE)
            else:
                found = (node.module or "").partition(".")[0] == "inferloom" and bool(names & DECORATORS)
            if found:
                return True
    return False


async def is_app(path: Path, ask: Describe = describe) -> AppDescription | None:
    """What a Python file declares; None where it is a plain model, or no file of Python.

    Raises:
        InvalidInput: it uses inferloom and does not import, or is neither.
    """
    if path.suffix != ".py" or not path.is_file():
        return None
    uses = may_be_app(path)
    problem = None
    try:
        recognise(path)
    except InvalidInput as error:
        problem = error
    if not uses and problem is None:
        return None
    found = await ask(path)
    if not found.empty:
        return found
    if problem is not None:
        raise InvalidInput(
            f"'{path}' declares no @service and no @pipeline, and is no model either: {problem}"
            if uses
            else str(problem)
        )
    return None
