"""Names that proto, buf's style and the languages of callers take, made from names that anybody may choose.

A word that is only written in another case (sepalLength, X) is no escape; every other change is noted as a warning.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Collection

__all__ = ["Names", "camel", "json_name", "segment", "snake", "upper"]

# A package's part is a folder and a module: no word of a language that callers are written in. Generators escape fields
# themselves, but for Python, where message.class does not parse.
_PYTHON = frozenset(word.lower() for word in (*keyword.kwlist, *keyword.softkwlist)) - {"match", "type", "_", "case"}
_PROTO = "syntax edition import weak public package option reserved message enum service rpc returns stream"
_OTHERS = (
    # Go, Java, TypeScript, C#, Rust: what they do not take as a name of a package or module
    "abstract base bool boolean break byte case catch chan char checked const constructor crate decimal default defer "
    "delegate delete do double dyn enum event explicit export extends extern fallthrough false final fixed float fn for "
    "foreach func function go goto if implements implicit impl in instanceof int interface internal is let lock long loop "
    "map match mod move mut namespace native new null object operator out override params private protected prototype pub "
    "public range readonly ref return sbyte sealed select self short sizeof stackalloc static strictfp string struct super "
    "switch synchronized this throw throws trait transient true try type typeof uint ulong unchecked unsafe ushort use var "
    "virtual void volatile where while yield google inferloom"
)
_IN_FIELDS = _PYTHON | {"constructor", "prototype"}
_IN_PACKAGES = _PYTHON | frozenset(f"{_PROTO} {_OTHERS}".split())
_OUTSIDE = re.compile(r"[^a-z0-9]+")
_BORDER = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z0-9])(?=[A-Z][a-z])")  # as buf takes words apart


def snake(text: str) -> str:
    """lower_snake_case as buf wants it: one underscore between words, none at the ends. "" where nothing is left."""
    return _OUTSIDE.sub("_", _BORDER.sub("_", text).lower()).strip("_")


def camel(text: str) -> str:
    """CamelCase. Of a name that a caller wrote in it, their own: ReadDigit stays ReadDigit."""
    made = "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", text) if part)
    return made if made[:1].isalpha() else f"N{made}"


def upper(text: str) -> str:
    return snake(text).upper()


def json_name(name: str) -> str:
    """As protoc makes it: within a message no two fields may have the same."""
    return re.sub(r"_(.)", lambda match: match[1].upper(), name)


def segment(name: str, taken: Collection[str] = (), part: str = "") -> tuple[str, str]:
    """The part of the package that stands for a name in the catalog, and a warning ("" where it is only another case).

    Args:
        taken: by other names; digits-ab and digits_ab cannot both be digits_ab.
        part: what it is already, where a lock knows it.
    """
    if part:
        return part, _warning("the name", name, part)
    made = _lettered(snake(name), "model")
    if made in _IN_PACKAGES:
        made += "_model"
    made = _free(made, lambda text: text in taken)
    return made, _warning("the name", name, made)


class Names:
    """The names of one scope, none of them twice.

    Args:
        what: they name, for warnings: "input".
        alike: what must differ; fields of a message must differ in their JSON names.
        between: a name and the number that makes it another one.
    """

    def __init__(self, what: str, alike: Callable[[str], str] = json_name, between: str = "_") -> None:
        self._what = what
        self._alike = alike
        self._between = between
        self._taken: set[str] = set()
        self.warnings: list[str] = []

    def add(self, name: str, what: str = "") -> str:
        """The field's name for `name`."""
        made = _lettered(snake(name), what or self._what)
        if made in _IN_FIELDS:
            made += "_value"
        return self._keep(name, made, what)

    def keep(self, made: str, what: str = "") -> str:
        """A name that is right as it is, but for being there already."""
        return self._keep(made, made, what)

    def _keep(self, name: str, made: str, what: str) -> str:
        made = _free(made, lambda text: self._alike(text) in self._taken, self._between)
        self._taken.add(self._alike(made))
        warning = _warning(what or self._what, name, made)
        if warning:
            self.warnings.append(warning)
        return made


def _lettered(made: str, what: str) -> str:
    """A name begins with a letter."""
    word = snake(what) or "field"
    return made if made[:1].isalpha() else f"{word}_{made}".strip("_")


def _free(made: str, taken: Callable[[str], bool], between: str = "_") -> str:
    tried, number = made, 1
    while taken(tried):
        number += 1
        tried = f"{made}{between}{number}"
    return tried


def _warning(what: str, name: str, made: str) -> str:
    if name.replace("_", "").lower() == made.replace("_", "").lower():
        return ""
    return f"{what} {name!r} is called '{made}' in the proto"
