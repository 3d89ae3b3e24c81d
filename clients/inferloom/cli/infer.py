"""`inferloom infer MODEL --input NAME=VALUE`: one request from the shell.

    --input 'pixels=[[0,0,1]]'    JSON
    --input pixels=@digits.npy    a numpy file
    --input pixels=@digits.json   a JSON file
    --input text=hello            text, for BYTES; '["a","b"]' is a list of texts, @@x the text "@x"
    --input image=@cat.png        any other file's bytes, for BYTES
    --input pixels=@zeros         zeros of the shape that the model takes

`NAME=` may be left out where the model takes one input.
"""

from __future__ import annotations

import base64
import json as json_module
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from inferloom.clients.aio import MeshClient
from inferloom.clients.datatypes import BYTES, numpy_type
from inferloom.clients.example import ZEROS, example_call, example_value
from inferloom.clients.metadata import ModelMetadata, TensorSpec
from inferloom.clients.result import InferResult
from inferloom.mesh.errors import InvalidInput

__all__ = ["infer", "json_of", "parse_inputs", "table_of"]


async def infer(
    address: str,
    model: str,
    inputs: Sequence[str] = (),
    *,
    version: str = "",
    timeout: float = 30.0,
    json: bool = False,
    outputs: Sequence[str] = (),
    console: Console | None = None,
    **connection: Any,
) -> None:
    """Call a model and print its answer; of a decoupled model each answer as it comes.

    Args:
        address: HOST:PORT of the mesh.
        inputs: "NAME=VALUE" as in this module's docstring; none: an error that shows a call that works.
        json: one JSON object per answer rather than a table.
        connection: token, tls, ca, cert, key, server_name, max_message_bytes of `MeshClient`.

    Raises:
        InferloomError: an input is wrong, or the call failed.
    """
    console = console or Console()
    async with MeshClient(address, timeout=timeout, **connection) as mesh:
        metadata = await mesh.metadata(model, version=version)
        values = parse_inputs(inputs, metadata)
        if metadata.decoupled:
            stream = mesh.stream(model, [values], version=version, timeout=timeout, outputs=outputs)
            async for answer in stream:
                _show(answer, json, console)
        else:
            _show(await mesh.infer(model, values, version=version, outputs=outputs), json, console)


def parse_inputs(inputs: Sequence[str], metadata: ModelMetadata) -> dict[str, Any]:
    """The values by input name.

    Raises:
        InvalidInput: no inputs, an unknown name, a file that cannot be read, or text where numbers belong.
    """
    if not inputs and any(not spec.optional for spec in metadata.inputs):
        raise InvalidInput(f"{metadata.takes()}. For example: {example_call(metadata)}")
    specs = {spec.name: spec for spec in metadata.inputs}
    values: dict[str, Any] = {}
    for text in inputs:
        name, equals, value = text.partition("=")
        if not equals:
            if len(specs) != 1:
                raise InvalidInput(f"--input {text!r} does not say which input: NAME=VALUE; {metadata.takes()}")
            name, value = next(iter(specs)), text
        if name in values:
            raise InvalidInput(f"--input {name} is given twice")
        spec = specs.get(name)
        values[name] = _value(value, spec) if spec is not None else None  # the client explains an unknown name
    return values


def _value(text: str, spec: TensorSpec) -> Any:
    if text == ZEROS:
        return _zeros(spec)
    if text.startswith("@") and not text.startswith("@@"):
        return _file(Path(text[1:]), spec)
    if spec.datatype == BYTES:
        text = text.removeprefix("@") if text.startswith("@@") else text
        return _json(text, "") if text.startswith("[") else text
    return _json(text, f"input '{spec.name}' takes {spec.datatype}: give JSON or @FILE, not {text!r:.60}")


def _json(text: str, complaint: str) -> Any:
    """The JSON value; without a complaint, text that is no JSON stays text."""
    try:
        return json_module.loads(text)
    except ValueError:
        if complaint:
            raise InvalidInput(complaint) from None
        return text


def _file(path: Path, spec: TensorSpec) -> Any:
    try:
        if path.suffix == ".npy":
            return np.load(path, allow_pickle=False)
        if path.suffix == ".json":
            return _json(path.read_text(), f"{path} is no JSON")
        if spec.datatype == BYTES:
            return path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"input '{spec.name}': {path} cannot be read: {error.strerror}") from None
    except (ValueError, EOFError) as error:
        raise InvalidInput(f"input '{spec.name}': {path} is no numpy file of plain numbers: {error}") from None
    raise InvalidInput(f"input '{spec.name}' takes {spec.datatype}: {path} would have to be a .npy or .json file")


def _zeros(spec: TensorSpec) -> Any:
    if spec.datatype == BYTES:
        return example_value(spec)
    return np.zeros([abs(size) for size in spec.shape], numpy_type(spec.datatype, spec.name))


def _show(answer: InferResult, json: bool, console: Console) -> None:
    if json:
        print(json_of(answer))
    else:
        console.print(table_of(answer))


def json_of(answer: InferResult) -> str:
    """One line of JSON: model, version, id and outputs as nested lists.

    As in protobuf's JSON, NaN and the infinities are strings. Bytes that are no UTF-8 become {"base64": "..."}.
    """
    outputs = {name: _plain(array.tolist()) for name, array in answer.items()}
    return json_module.dumps(
        {"model": answer.model, "version": answer.version, "id": answer.id, "outputs": outputs}, allow_nan=False
    )


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(element) for element in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(value).decode()}
    return value


def table_of(answer: InferResult) -> Table:
    """The answer as a table: output, datatype, shape and values, long ones shortened."""
    title = f"{answer.model}:{answer.version}" if answer.version else answer.model
    table = Table("output", "datatype", "shape", "values", title=title, title_justify="left")
    for name, array in answer.items():
        shape = "[" + ",".join(map(str, array.shape)) + "]"
        shown = np.array2string(_readable(array), threshold=64, edgeitems=4, precision=6, suppress_small=True)
        table.add_row(*map(Text, (name, answer.datatypes[name], shape, shown)))  # Text: brackets are no markup
    return table


def _readable(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if array.dtype != object:
        return array
    texts = np.empty(array.shape, dtype=object)
    texts.ravel()[:] = [element.decode(errors="backslashreplace")[:200] for element in array.ravel()]
    return texts
