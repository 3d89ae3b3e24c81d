"""docs/reference/commands.md: what the command's own parser knows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import typer

from inferloom.cli.main import app, main
from reference.markdown import code, described, table

__all__ = ["codes", "commands", "page"]

HEAD = """\
# Commands

```sh
inferloom --help
inferloom up --help
```

Every command has `--help` (`-h`). This page is made from the same source. Options may stand before or after arguments; those
marked "repeatable" may be given several times. Where an option can be set by a variable of the environment, the option wins.

"""
CODES = """
## Exit status

{table}
A command that stays (`up`, `router`, `control`, `edge`, `sidecar`, `host`) drains at the first Ctrl-C or SIGTERM and ends
with 0; at the second it ends at once, with 130. Of `check`, `apply` and `rollback` 2 says that something in the documents is
wrong, and nothing was changed. Of `diff`, `codegen --check` and `control status` 1 says that something differs or is refused.
"""
ARGUMENTS: Mapping[tuple[str, str], str] = {  # of arguments that have no help of their own
    ("remove", "name"): "What to take out.",
    ("diff", "what"): "A file as `apply` takes it; or a document, and one or two of its versions.",
    ("history", "name"): "Of the document.",
    ("rollback", "name"): "Of the document.",
    ("delete", "name"): "Of the document.",
    ("infer", "model"): "A model, service or pipeline.",
    ("get", "name"): "Without it: the names there are.",
}
TAKES = {"str": "text", "path": "path", "float": "number", "int": "whole number"}
TYPES = {"int range": "whole number", "float range": "number"}


def page() -> str:
    """Raises Undescribed."""
    root = typer.main.get_command(app)
    told = [_command(path, command) for path, command in commands(root)]
    rows = [(code(status), meaning) for status, meaning in codes().items()]
    return HEAD + "\n".join(told) + CODES.format(table=table(("status", "means"), rows))


def codes() -> dict[str, str]:
    """What each exit status means, from the entry point's own words."""
    text = " ".join((main.__doc__ or "").split()).partition("Exit status:")[2]
    found = {number: meaning.strip() for number, meaning in re.findall(r"(\d+) ([^,.]+)", text)}
    return {**found, "130": "it was interrupted"}


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each command that can be run, with its path below `inferloom`; the root, whose options hold for all, first."""
    inner = getattr(command, "commands", {})
    if not inner or not path or command.invoke_without_command:
        yield path, command
    for name, found in inner.items():
        yield from commands(found, (*path, name))


def _command(path: tuple[str, ...], command: Any) -> str:
    name = " ".join(("inferloom", *path))
    context = typer.Context(command, info_name=name)
    usage = " ".join([name, *command.collect_usage_pieces(context)]).replace("{", "").replace("}", "")
    hidden = "Not shown by `--help`.\n\n" if command.hidden else ""
    parts = [f"## {name}\n\n{described(command.help, name)}\n\n{hidden}`{usage}`\n"]
    arguments = [_argument(path, each, context) for each in command.params if each.param_type_name == "argument"]
    options = [_option(name, each) for each in command.params if each.param_type_name == "option"]
    if arguments:
        parts.append(table(("argument", "default", "meaning"), arguments))
    if options:
        parts.append(table(("option", "takes", "default", "variable", "meaning"), options))
    return "\n".join(parts)


def _argument(path: tuple[str, ...], argument: Any, context: Any) -> tuple[str, ...]:
    own = argument.help or ARGUMENTS.get((" ".join(path), argument.name))
    name = argument.make_metavar(context).replace("{", "").replace("}", "")
    return code(name), _default(argument), described(own, f"argument {argument.name} of {' '.join(path)}")


def _option(command: str, option: Any) -> tuple[str, ...]:
    names = ", ".join(map(code, [*option.opts, *option.secondary_opts]))
    text = described(option.help, f"{option.opts[0]} of {command}")
    return names, _takes(option), _default(option), code(option.envvar or ""), text


def _takes(option: Any) -> str:
    if option.is_flag:
        return ""
    kind = option.type
    least, most = getattr(kind, "min", None), getattr(kind, "max", None)
    words = TYPES.get(kind.name) or TAKES[kind.name]
    if option.metavar:
        words = code(option.metavar)
    if least is not None:
        words += f" from {least}" + (f" to {most}" if most is not None else "")
    return f"{words}, repeatable" if option.multiple else words


def _default(parameter: Any) -> str:
    value = parameter.default
    if value is None or value is False or value == "":
        return ""
    return code(int(value) if isinstance(value, float) and value.is_integer() else value)
