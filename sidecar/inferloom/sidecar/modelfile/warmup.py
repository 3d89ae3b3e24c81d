"""warmup.json: the first request a version gets before it serves, and the answer it must give.

    {"inputs":  [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [5.1, 3.5, 1.4, 0.2]}],
     "outputs": [{"name": "label", "data": [0]}],
     "tolerance": 1e-3}

`outputs` may be left out: then the request only has to succeed. Data is flat or nested, row by row; BYTES are strings.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inferloom.mesh.errors import InvalidInput
from inferloom.sidecar.modelfile.tensor import DATATYPES

__all__ = ["FILE", "Warmup", "WarmupInput", "WarmupOutput", "load_warmup"]

FILE = "warmup.json"

Value = float | int | bool | str


@dataclass(frozen=True, slots=True)
class WarmupInput:
    name: str
    datatype: str
    shape: tuple[int, ...]
    data: tuple[Value, ...]  # flat, row by row


@dataclass(frozen=True, slots=True)
class WarmupOutput:
    name: str
    data: tuple[Value, ...]  # flat, row by row


@dataclass(frozen=True, slots=True)
class Warmup:
    inputs: tuple[WarmupInput, ...]
    outputs: tuple[WarmupOutput, ...] = ()
    tolerance: float = 1e-3  # relative for numbers beyond 1, absolute below

    def mismatch(self, answer: Mapping[str, Sequence[Any]]) -> str:
        """Where an answer (output -> flat values) differs from the known one, in one line; "" where it does not."""
        for output in self.outputs:
            got = answer.get(output.name)
            if got is None:
                return f"no output '{output.name}'; there are {', '.join(answer) or 'none'}"
            if len(got) != len(output.data):
                return f"output '{output.name}' has {len(got)} values, {len(output.data)} were expected"
            for index, (want, have) in enumerate(zip(output.data, got, strict=True)):
                if not self._same(want, have):
                    return f"output '{output.name}' is {have!r} at {index}, {want!r} was expected"
        return ""

    def _same(self, want: Value, have: Any) -> bool:
        if isinstance(want, str):
            return want == (have.decode("utf-8", "replace") if isinstance(have, bytes) else have)
        if isinstance(have, (str, bytes)):
            return False
        if math.isnan(want) or math.isnan(have):
            return math.isnan(want) and math.isnan(have)
        return math.isclose(want, have, rel_tol=self.tolerance, abs_tol=self.tolerance)


def load_warmup(folder: Path) -> Warmup | None:
    """The warm-up of a version folder; None where it has no warmup.json. Raises InvalidInput naming file and field."""
    path = folder / FILE
    return read_warmup(path) if path.is_file() else None


def read_warmup(path: Path) -> Warmup:
    """The warm-up in a file. Raises InvalidInput naming file and field."""
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InvalidInput(f"'{path}' is no JSON: {error}") from None
    try:
        fields = _keys(document, "the document", required=("inputs",), optional=("outputs", "tolerance"))
        inputs = tuple(_input(one, f"inputs[{i}]") for i, one in enumerate(_list(fields["inputs"], "inputs")))
        outputs = tuple(
            _output(one, f"outputs[{i}]") for i, one in enumerate(_list(fields.get("outputs", []), "outputs"))
        )
        tolerance = fields.get("tolerance", 1e-3)
        if isinstance(tolerance, bool) or not isinstance(tolerance, (int, float)) or not tolerance >= 0:
            raise ValueError(f"tolerance is {tolerance!r}; a number from 0 up is needed")
    except ValueError as error:
        raise InvalidInput(f"'{path}': {error}") from None
    return Warmup(inputs, outputs, float(tolerance))


def _input(one: Any, where: str) -> WarmupInput:
    fields = _keys(one, where, required=("name", "datatype", "shape", "data"))
    if fields["datatype"] not in DATATYPES:
        raise ValueError(f"{where}.datatype is {fields['datatype']!r}; there are {', '.join(DATATYPES)}")
    shape = _list(fields["shape"], f"{where}.shape")
    if not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError(f"{where}.shape is {shape}; whole sizes are needed")
    data = _flat(fields["data"], f"{where}.data")
    if len(data) != math.prod(shape):
        raise ValueError(f"{where}.data has {len(data)} values, shape {shape} needs {math.prod(shape)}")
    return WarmupInput(str(fields["name"]), fields["datatype"], tuple(shape), data)


def _output(one: Any, where: str) -> WarmupOutput:
    fields = _keys(one, where, required=("name", "data"))
    return WarmupOutput(str(fields["name"]), _flat(fields["data"], f"{where}.data"))


def _keys(value: Any, where: str, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{where} is no object")
    unknown = sorted(set(value) - {*required, *optional})
    if unknown:
        raise ValueError(f"{where} has an unknown key '{unknown[0]}'; known are {', '.join((*required, *optional))}")
    missing = [key for key in required if key not in value]
    if missing:
        raise ValueError(f"{where} lacks '{missing[0]}'")
    return value


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{where} is no list")
    return value


def _flat(value: Any, where: str) -> tuple[Value, ...]:
    if isinstance(value, list):
        return tuple(item for part in value for item in _flat(part, where))
    if not isinstance(value, (float, int, str)):
        raise ValueError(f"{where} has {value!r}; numbers, strings, true and false are allowed")
    return (value,)
