"""docs/reference/documents.md: every kind of document, from the keys, defaults and comments of the code that reads it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from typing import Any

from inferloom.cli.up.documents import ModelSpec, VersionSpec
from inferloom.cli.up.meshfile import MESH_KEYS, MODEL_KEYS, VERSION_KEYS
from inferloom.cli.up.meshfile_hosted import SERVICE_KEYS
from inferloom.mesh.splits import spec as split_spec
from inferloom.mesh.splits.arm import Arm
from inferloom.services.composer import shorthand
from inferloom.services.proto.hints import COLUMN_KEYS, HINT_KEYS, TENSOR_KEYS
from inferloom.sidecar.modelfile.warmup import Warmup
from reference import document_graph, document_policy, documents_text
from reference.examples import APP, EXAMPLES, FILES
from reference.markdown import Undescribed, code, described, table
from reference.meanings import MEANINGS

__all__ = ["KEYS", "page"]

HEAD = ("field", "type", "default", "meaning")
KEYS: Mapping[str, tuple[Iterable[str], type[Any] | None]] = {  # what the code accepts; where its defaults are
    "mesh": (MESH_KEYS, None),
    "model": (MODEL_KEYS, ModelSpec),
    "version": (VERSION_KEYS, VersionSpec),
    "service": (SERVICE_KEYS, None),
    "app": (("source",), None),  # asked for in meshfile_hosted.app, without a name of its own
    "split": (split_spec.SPEC, None),
    "arm": (split_spec.ARM, Arm),
    "hints": (HINT_KEYS, None),
    "tensor": (TENSOR_KEYS, None),
    "column": (COLUMN_KEYS, None),
    "warmup": (tuple(field.name for field in fields(Warmup)), Warmup),
}


def page() -> str:
    """Raises Undescribed."""
    parts = {name: _table(name) for name in KEYS}
    parts |= {FILES[kind]: f'```yaml title="{FILES[kind]}"\n{text}```\n' for kind, text in EXAMPLES.items()}
    parts["app.py"] = f'```python title="app.py"\n{APP}```\n'
    parts["short forms"] = _short_forms()
    parts["graph"] = document_graph.text()
    parts["policy"] = document_policy.table_of()
    text = documents_text.TEXT
    for name, part in parts.items():
        mark = f"<<{name}>>\n"
        if mark not in text:
            raise Undescribed(f"{name} has no place on the page")
        text = text.replace(mark, f"{part}\n")
    return text


def _table(name: str) -> str:
    keys, home = KEYS[name]
    meanings = MEANINGS[name]
    if unknown := meanings.keys() - set(keys):
        raise Undescribed(f"{name}: the code knows no {', '.join(sorted(unknown))}")
    rows = []
    for key in keys:
        meaning = meanings.get(key)
        text = described(meaning.text if meaning else "", f"{name}: {key}")
        assert meaning is not None
        rows.append((code(key), meaning.type, meaning.default or _default(home, key), text))
    return table(HEAD, rows)


def _short_forms() -> str:
    """The table in the docstring of shorthand.py: what is written, two spaces or more, what it stands for."""
    lines = (shorthand.__doc__ or "").partition("\n\n")[2].strip().splitlines()
    rows = [re.split(r" {2,}", line, maxsplit=1) for line in lines]
    return table(("written", "other ways"), [(code(written), described(other, written)) for written, other in rows])


def _default(home: type[Any] | None, key: str) -> str:
    """Of the attribute that the key fills; "" where it has none that is worth saying."""
    found = next((field.default for field in fields(home) if field.name == key), MISSING) if home else MISSING
    if found is MISSING or found is None or found == () or found == "":
        return ""
    return code(str(found).lower() if isinstance(found, bool) else f"{found:g}")
