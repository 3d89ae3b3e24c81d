"""What the functions and services of Python files take and give, told by a process of its own.

    python -m inferloom.cli.documents.signatures app.py ...

prints it as JSON. Users' code is never imported into the command itself.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inferloom.clients.metadata import TensorSpec
from inferloom.mesh.catalog import Repeat
from inferloom.mesh.errors import InferloomError, InvalidInput
from inferloom.services.signature import Signature

__all__ = ["Declared", "ask_signatures", "declared", "told"]

PATIENCE = 120.0  # seconds that importing may take


@dataclass(frozen=True, slots=True)
class Declared:
    """Of several files together."""

    steps: Mapping[str, Mapping[str, Any]] = field(
        default_factory=dict
    )  # by reference: fields of StepDeclaration, signature
    services: Mapping[str, Signature] = field(default_factory=dict)  # by catalog name
    repeat: Mapping[str, Repeat] = field(default_factory=dict)  # of the services, by catalog name


async def ask_signatures(files: Sequence[Path]) -> Declared:
    """Import the files in another process. Raises InvalidInput where one does not import, or an annotation is wrong."""
    if not files:
        return Declared()
    command = [sys.executable, "-m", "inferloom.cli.documents.signatures", *map(str, files)]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe)
    try:
        async with asyncio.timeout(PATIENCE):
            out, err = await process.communicate()
    except TimeoutError:
        raise InvalidInput(f"{files[0]}: importing it does not end within {PATIENCE:.0f} s") from None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode != 0:
        lines = [line for line in err.decode(errors="replace").splitlines() if line.strip()]
        raise InvalidInput(lines[-1] if lines else f"{files[0]}: it does not import")
    found = json.loads(out.decode().splitlines()[-1])  # the last line: the files may print as they are imported
    return declared(found)


def declared(found: Mapping[str, Any]) -> Declared:
    """From what `told` made of them."""
    steps = {
        reference: {**entry, "signature": _signature(entry["signature"])} for reference, entry in found["steps"].items()
    }
    services = {name: _signature(entry) for name, entry in found["services"].items()}
    return Declared(steps, services, {name: Repeat(word) for name, word in found["repeat"].items()})


def told(files: Sequence[str]) -> dict[str, Any]:
    """What the files declare. Raises ConfigError."""
    from inferloom.services.declare.app import collect
    from inferloom.services.host.load import Loader

    steps: dict[str, Any] = {}
    services: dict[str, Any] = {}
    repeat: dict[str, str] = {}
    for file in files:
        app = Loader(file).load(collect)
        for reference, step in app.steps.items():
            steps[reference] = {
                "name": step.name,
                "rows": step.rows,
                "replicas": step.replicas,
                "cpus": step.cpus,
                "place": step.place,
                "signature": _json(step.types.signature),
            }
        for service in app.services.values():
            for method in service.methods:
                name = service.catalog_name(method)
                services[name] = _json(service.types(method).signature)
                repeat[name] = service.repeat.value
    return {"steps": steps, "services": services, "repeat": repeat}


def _json(signature: Signature) -> dict[str, Any]:
    def tensors(specs: Sequence[TensorSpec]) -> list[Any]:
        return [[spec.name, spec.datatype, list(spec.shape), spec.optional] for spec in specs]

    return {
        "inputs": tensors(signature.inputs),
        "outputs": tensors(signature.outputs),
        "rows": signature.rows,
        "streams": signature.streams,
    }


def _signature(value: Mapping[str, Any]) -> Signature:
    def tensors(specs: Sequence[Any]) -> tuple[TensorSpec, ...]:
        return tuple(TensorSpec(name, datatype, tuple(shape), optional) for name, datatype, shape, optional in specs)

    return Signature(tensors(value["inputs"]), tensors(value["outputs"]), value["rows"], value["streams"])


def main(files: Sequence[str]) -> int:
    try:
        answer = told(files)
    except InferloomError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
