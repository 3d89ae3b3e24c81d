"""Signatures and docstrings as Markdown. griffe reads them from the source; nothing is imported."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

from griffe import (
    Class,
    DocstringSection,
    DocstringSectionKind,
    Function,
    GoogleOptions,
    LinesCollection,
    Module,
    Parser,
    visit,
)

from reference.markdown import code, described, sentence, table

__all__ = ["Object", "block", "described_class", "public", "rendered"]

ROOT = Path(__file__).resolve().parent.parent
ROOTS = tuple(ROOT / name for name in ("clients", "mesh", "services"))
WIDTH = 100  # of a signature on one line
Object = Class | Function
NAMED = {  # sections that are tables: the heading, and that of the first column
    DocstringSectionKind.parameters: ("Arguments", "argument"),
    DocstringSectionKind.attributes: ("Attributes", "attribute"),
    DocstringSectionKind.raises: ("Raises", "error"),
}


def public(module: str, name: str) -> Object:
    """A class or function of a module. Raises KeyError where it has none of this name."""
    found = _module(module)[name]
    if not isinstance(found, Class | Function):
        raise KeyError(f"{module}.{name} is {found.kind.value}")
    return found


@cache
def _module(name: str) -> Module:
    path = next(path for root in ROOTS if (path := root / f"{name.replace('.', '/')}.py").is_file())
    options: GoogleOptions = {"warn_unknown_params": False, "warnings": False}  # several arguments share a line
    text = path.read_text()
    lines = LinesCollection()
    lines[path] = text.splitlines()
    return visit(name, path, text, docstring_parser=Parser.google, docstring_options=options, lines_collection=lines)


def described_class(name: str, found: Object) -> str:
    """A class: how it is made, its fields where it is a dataclass, its public methods and properties."""
    assert isinstance(found, Class)
    parts = [f"### {name}\n\n{rendered(found, name)}"]
    for member, each in found.members.items():
        if member.startswith("_") or each.is_alias or not each.docstring:
            continue
        if isinstance(each, Function):
            parts.append(f"#### {name}.{member}\n\n{rendered(each, f'{name}.{member}')}")
        elif "property" in each.labels:
            parts.append(f"#### {name}.{member}\n\n{_told(each.docstring.parsed)}")
    return "\n".join(parts)


def rendered(found: Object, name: str) -> str:
    """The signature and the docstring. Raises Undescribed where there is no docstring."""
    described(found.docstring.value if found.docstring else "", name)
    assert found.docstring is not None
    sections = found.docstring.parsed
    if isinstance(found, Function):
        signature = _signature(found, name)
    elif "dataclass" in found.labels:
        signature = _fields(found, name)
    elif any(section.kind is DocstringSectionKind.parameters for section in sections) and "__init__" in found.members:
        init = found.members["__init__"]
        assert isinstance(init, Function)
        signature = _signature(init, name)
    else:
        signature = ""
    return f"{signature}{_told(sections)}"


def block(text: str, language: str = "py") -> str:
    """A fenced block."""
    return f"```{language}\n{textwrap.dedent(text).strip(chr(10))}\n```\n"


def _signature(found: Function, name: str) -> str:
    """As it is written, on one line where it is short."""
    shown: list[str] = []
    before = ""
    for parameter in (each for each in found.parameters if each.name != "self"):
        kind = parameter.kind.value if parameter.kind else ""
        if before == "positional-only" != kind:
            shown.append("/")
        if kind == "keyword-only" and before not in (kind, "variadic positional"):
            shown.append("*")
        before = kind
        stars = {"variadic positional": "*", "variadic keyword": "**"}.get(kind, "")
        note = f": {parameter.annotation}" if parameter.annotation is not None else ""
        default = f" = {_quoted(str(parameter.default))}" if parameter.default is not None and not stars else ""
        shown.append(f"{stars}{parameter.name}{note}{default}")
    begin = "async " if "async" in found.labels else ""
    gives = f" -> {found.returns}" if found.returns is not None and found.name != "__init__" else ""
    line = f"{begin}{name}({', '.join(shown)}){gives}"
    if len(line) > WIDTH:
        line = f"{begin}{name}(\n" + "".join(f"    {each},\n" for each in shown) + f"){gives}"
    return block(line) + "\n"


def _quoted(default: str) -> str:
    """Text in the quotes that our code has; griffe gives Python's own."""
    return f'"{default[1:-1]}"' if default.startswith("'") and '"' not in default else default


def _fields(found: Class, name: str) -> str:
    """A dataclass as it is written: its fields with their comments."""
    lines = [
        line
        for member, each in found.members.items()
        if each.is_attribute and "instance-attribute" in each.labels and not member.startswith("_") and each.lines
        for line in textwrap.dedent("\n".join(each.lines)).splitlines()
    ]
    return block(f"class {name}:\n" + "\n".join(f"    {line}" for line in lines)) + "\n"


def _told(sections: Iterable[DocstringSection]) -> str:
    return "\n".join(_parts(sections))


def _parts(sections: Iterable[DocstringSection]) -> Iterator[str]:
    for section in sections:
        if section.kind is DocstringSectionKind.text:
            yield _text(section.value)
        elif section.kind in NAMED:
            heading, column = NAMED[section.kind]
            rows = [(_names(each), sentence(" ".join(each.description.split()))) for each in section.value]
            yield f"{heading}:\n\n{table((column, 'meaning'), rows)}"
        else:
            raise ValueError(f"a docstring has a section of {section.kind.value}, which nothing here draws")


def _names(entry: Any) -> str:
    """Of what a line of a section is about. Where several share it, griffe takes the last for a type."""
    name, annotation = getattr(entry, "name", None), str(entry.annotation or "")
    text = annotation if name is None else f"{name} {annotation}" if name.endswith(",") else name
    return ", ".join(code(part.strip()) for part in text.strip("()").split(","))


def _text(text: str) -> str:
    """Paragraphs; what is indented by four is code."""
    parts = []
    lines = text.splitlines()
    for indented, group in groupby(_kept(lines), key=lambda line: line[1]):
        body = "\n".join(line for line, _ in group).strip("\n")
        if body.strip():
            parts.append(block(body) if indented else f"{body}\n")
    return "\n".join(parts)


def _kept(lines: list[str]) -> Iterator[tuple[str, bool]]:
    """Each line and whether it is code; an empty one is as the line before it."""
    code_now = False
    for line in lines:
        code_now = line.startswith("    ") if line.strip() else code_now
        yield line, code_now
