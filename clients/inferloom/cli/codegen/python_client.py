"""`--client python`: a package that can be installed, with stubs, typed clients and numpy helpers.

It needs grpcio and protobuf alone: the google.api.http annotations are left out of it.
"""

from __future__ import annotations

import contextlib
import io
import re
import tempfile
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from inferloom.cli.codegen.python_arrays import arrays_module
from inferloom.cli.codegen.python_project import pyproject, readme
from inferloom.cli.codegen.written import PYTHON
from inferloom.mesh.errors import ConfigError
from inferloom.services.proto.face import Face
from inferloom.services.proto.lock import Lock
from inferloom.services.proto.text import proto_text

__all__ = ["client_files", "stubs"]


def client_files(face: Face, lock: Lock) -> dict[str, str]:
    """The package's files by their paths: python/inferloom-models-iris/...

    Raises:
        ConfigError: grpcio-tools is not installed.
    """
    made = stubs(face)
    folder = face.package.replace(".", "/")
    made[f"{folder}/__init__.py"] = _init(face)
    made[f"{folder}/client.py"] = _client(face)
    made[f"{folder}/py.typed"] = ""
    if not face.typed:
        made[f"{folder}/arrays.py"] = arrays_module(face)
        made[f"{folder}/numpy_helpers.py"] = _own("numpy_helpers.py")
    needs = _needs(made)
    root = f"{PYTHON}/{distribution(face)}"
    whole = {f"src/{name}": text for name, text in made.items()}
    whole["pyproject.toml"] = pyproject(distribution(face), lock.revision, face, needs)
    whole["README.md"] = readme(distribution(face), face, client_name(face))
    return {f"{root}/{name}": text for name, text in whole.items()}


def distribution(face: Face) -> str:
    """Two major versions are two distributions, so that both can be installed."""
    name = f"inferloom-models-{face.package.split('.')[2].replace('_', '-')}"
    return name if face.major == 1 else f"{name}-v{face.major}"


def client_name(face: Face) -> str:
    return f"{face.service.removesuffix('Service')}Client"


def stubs(face: Face) -> dict[str, str]:
    """What protoc makes of the face: _pb2.py, _pb2.pyi, _pb2_grpc.py.

    Raises:
        ConfigError: grpcio-tools is not installed.
    """
    try:
        from grpc_tools import protoc  # type: ignore[import-untyped]
    except ImportError:
        raise ConfigError("--client python needs protoc: pip install 'inferloom[codegen]'") from None
    include = str(files("grpc_tools").joinpath("_proto"))
    with tempfile.TemporaryDirectory(prefix="inferloom-codegen-") as name:
        folder = Path(name)
        source, target = folder / "in" / face.file, folder / "out"
        source.parent.mkdir(parents=True)
        target.mkdir()
        source.write_text(proto_text(face, http=False))
        kinds = [f"--{kind}={target}" for kind in ("python_out", "pyi_out", "grpc_python_out")]
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            status = protoc.main(["protoc", f"-I{folder / 'in'}", f"-I{include}", *kinds, str(source)])
        if status != 0:
            raise ConfigError(f"protoc refuses the proto of '{face.name}': {said.getvalue().strip()}")
        return {str(path.relative_to(target)): path.read_text() for path in sorted(target.rglob("*.py*"))}


def _needs(made: dict[str, str]) -> list[str]:
    """grpcio and protobuf as the generated code demands them."""
    text = "\n".join(made.values())
    grpc = re.search(r"GRPC_GENERATED_VERSION = '([\d.]+)'", text)
    protobuf = re.search(r"Protobuf Python Version: (\d+)\.([\d.]+)", text)
    needs = [f"grpcio>={grpc[1]}"] if grpc else ["grpcio"]
    if protobuf:  # generated code runs with its own major version and the next
        needs.append(f"protobuf>={protobuf[1]}.{protobuf[2]},<{int(protobuf[1]) + 2}")
    return needs


def _init(face: Face) -> str:
    messages = sorted(message.name for message in face.messages)
    enums = sorted(each.name for each in face.enums)
    client, stem = client_name(face), face.package.split(".")[2]
    names = [f"Async{client}", client]
    lines = [f'"""Typed clients and messages of {face.name}."""', ""]
    lines += [f"from {face.package}.client import Async{client}, {client}"]
    lines += [f"from {face.package}.{stem}_pb2 import ("]
    lines += [*(f"    {name}," for name in sorted([*messages, *enums])), ")", ""]
    lines += ["__all__ = [", *(f'    "{name}",' for name in sorted([*names, *messages, *enums])), "]", ""]
    return "\n".join(lines)


def _client(face: Face) -> str:
    predict = face.predict
    request, response = f"pb.{predict.request}", f"pb.{predict.response}"
    if face.rows:
        argument, message = "rows: Iterable[pb.InputRow | Mapping[str, Any]]", f"{request}(rows=rows)"
        doc = "One answer for each row."
    else:
        argument, message, doc = f"message: {request}", "message", "Calls it once."
    values: dict[str, Any] = {
        "name": face.name,
        "client": client_name(face),
        "package": face.package,
        "stem": face.package.split(".")[2],
        "service": face.full_service,
        "method": predict.name,
        "request": predict.request,
        "response": predict.response,
        "argument": argument,
        "message": message,
        "doc": "Answers come one by one." if predict.streams else doc,
        "call": "predict_stream" if predict.streams else "predict",
        "kind": "unary_stream" if predict.streams else "unary_unary",
        "answer": f"Iterator[{response}]" if predict.streams else response,
        "await": "" if predict.streams else "await ",
        "async_def": "def" if predict.streams else "async def",
        "async_answer": f"AsyncIterator[{response}]" if predict.streams else response,
    }
    used = (["AsyncIterator"] if predict.streams else []) + (["Iterable"] if face.rows else [])
    used += (["Iterator"] if predict.streams else []) + (["Mapping"] if face.rows else [])
    text = Template(_own("client_template.txt")).substitute(values, imports=", ".join(used))
    return text if used else text.replace("from collections.abc import \n", "")


def _own(name: str) -> str:
    return files("inferloom.cli.codegen").joinpath(name).read_text()
