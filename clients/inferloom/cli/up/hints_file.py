"""service.yaml: what the owner of a model says about its typed face; see docs/codegen.md.

It lies in the model's folder, or beside its file as iris.service.yaml beside iris.onnx.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from inferloom.cli.up.documents import ModelSpec
from inferloom.cli.up.located import Located, read
from inferloom.mesh.errors import ConfigError, InvalidInput
from inferloom.services.proto.hints import COLUMN_KEYS, HINT_KEYS, TENSOR_KEYS
from inferloom.sidecar.modelfile.recognise import recognise
from inferloom.sidecar.modelfile.tensor import TensorType

__all__ = ["FILE", "hinted", "hints_beside", "is_hints", "read_hints"]

FILE = "service.yaml"
_MOST_LABELS = 1_000_000


def is_hints(path: Path) -> bool:
    """Whether a file is by its name one of hints."""
    return path.name == FILE or path.name.endswith(f".{FILE}")


def hints_beside(source: Path) -> Path | None:
    """The file of hints that belongs to a model's file or folder; None where there is none."""
    path = source / FILE if source.is_dir() else source.with_name(f"{source.stem}.{FILE}")
    return path if path.is_file() else None


def hinted(spec: ModelSpec) -> ModelSpec:
    """The model with the hints of its newest version that has any; as it is where none has.

    Raises:
        ConfigError: they are wrong, or do not fit the model; names the line.
    """
    for version in reversed(list(spec.versions.values())):
        path = hints_beside(version.source)
        if path is not None:
            return replace(spec, hints=read_hints(path, *_tensors(version.source)))
    return spec


def read_hints(path: Path, inputs: Sequence[TensorType] = (), outputs: Sequence[TensorType] = ()) -> dict[str, Any]:
    """A file of hints, checked and with its files of labels read: what `Hints.from_json` takes.

    Args:
        inputs, outputs: of the model, where they are known: then names and numbers of columns are checked too.

    Raises:
        ConfigError: one line that names the file, the line, the key and the cure.
    """
    documents = read(path)
    if len(documents) != 1:
        raise ConfigError(f"{path}: one document is wanted, with the keys {', '.join(HINT_KEYS)}")
    entries = documents[0].mapping("hints", HINT_KEYS)
    made: dict[str, Any] = {}
    if "description" in entries:
        made["description"] = entries["description"].text("description")
    if "rows" in entries:
        made["rows"] = _flag(entries["rows"], "rows")
    for side, tensors in (("inputs", inputs), ("outputs", outputs)):
        if side in entries:
            known = {tensor.name: tensor for tensor in tensors}
            found = entries[side].mapping(side, tuple(known))
            made[side] = {name: _tensor(name, entry, path.parent, known) for name, entry in found.items()}
    if "example" in entries:
        example = entries["example"].value()
        if not isinstance(example, dict):
            raise entries["example"].error("example must be a request: a mapping of fields to values")
        made["example"] = example
    return made


def _tensor(name: str, entry: Located, folder: Path, known: Mapping[str, TensorType]) -> dict[str, Any]:
    what = f"tensor '{name}'"
    entries = entry.mapping(what, TENSOR_KEYS)
    made = _column(entries, what)
    if "columns" in entries:
        columns = list(entries["columns"].items("columns"))
        made["columns"] = [_named(column, f"{what}, column {number}") for number, column in enumerate(columns)]
        size = known[name].shape[-1] if name in known and known[name].shape else -1
        if size not in (-1, len(columns)):
            raise entries["columns"].error(f"{what} has {size} columns, not the {len(columns)} that are named")
    if "labels" in entries:
        made["labels"] = _labels(entries["labels"], folder, what)
    if "enum" in entries:
        made["enum"] = _flag(entries["enum"], "enum")
    if "type" in entries:
        made["type"] = entries["type"].text("type")
        if made["type"] not in ("string", "bytes"):
            raise entries["type"].error(f"{what}: type is string or bytes, not '{made['type']}'")
    return made


def _named(column: Located, what: str) -> dict[str, Any]:
    """A column: its name, or a mapping."""
    value = column.value()
    if isinstance(value, str) and value:
        return {"name": value}
    return _column(column.mapping(what, COLUMN_KEYS), what)


def _column(entries: Mapping[str, Located], what: str) -> dict[str, Any]:
    made: dict[str, Any] = {
        key: entries[key].text(f"{what}: {key}") for key in ("name", "description", "unit") if key in entries
    }
    if "range" in entries:
        made["range"] = _range(entries["range"], what)
    if "finite" in entries:
        made["finite"] = _flag(entries["finite"], "finite")
    return made


def _range(entry: Located, what: str) -> list[float | None]:
    value = entry.value()
    ends = value if isinstance(value, list) and len(value) == 2 else [None, None]
    fine = all(end is None or (isinstance(end, int | float) and not isinstance(end, bool)) for end in ends)
    if not fine or ends == [None, None] or any(end is not None and math.isnan(end) for end in ends):
        raise entry.error(f"{what}: range is [least, most], both included; null is an open end, as in [0, null]")
    least, most = ends
    if least is not None and most is not None and least > most:
        raise entry.error(f"{what}: range [{least}, {most}] holds nothing")
    return [least, most]


def _labels(entry: Located, folder: Path, what: str) -> list[str]:
    """A list, or a text file with one on each line; its first is that of 0."""
    if isinstance(entry.node, yaml.SequenceNode):  # as written: `no` is a label, not false
        labels = [item.text(f"{what}: a label") for item in entry.items("labels")]
    else:
        file = (folder / entry.text(f"{what}: labels")).resolve()
        try:
            labels = [line.strip() for line in file.read_text().splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise entry.error(f"{what}: labels: '{file}' cannot be read: {error}") from None
    if not 0 < len(labels) <= _MOST_LABELS:
        raise entry.error(f"{what}: labels: there are none" if not labels else f"{what}: too many labels")
    label, count = Counter(labels).most_common(1)[0]
    if count > 1:
        raise entry.error(f"{what}: label '{label}' stands twice")
    return labels


def _flag(entry: Located, what: str) -> bool:
    value = entry.value()
    if not isinstance(value, bool):
        raise entry.error(f"{what} must be true or false")
    return value


def _tensors(source: Path) -> tuple[Sequence[TensorType], Sequence[TensorType]]:
    """The model's tensors, as far as its file tells them."""
    try:
        found = recognise(source)
    except InvalidInput:
        return (), ()
    return found.inputs, found.outputs
