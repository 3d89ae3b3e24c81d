"""What stands for a value while a pipeline is traced: it can be passed on and asked for its outputs, nothing else.

Python has no way to record an `if`, a loop or an f-string, so whoever tries gets an error at that line, not a pipeline
that silently took one branch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from inferloom.mesh.errors import ConfigError
from inferloom.services.composer.references import Reference
from inferloom.services.composer.source import here

__all__ = ["Symbol", "TracedValueError", "reference_of"]


class TracedValueError(ConfigError):
    """A traced value was used as if it were there. The message names the line and the two ways out."""


class Symbol:
    """An output of a node, or all of them where none is named. `votes.label` and `votes["label"]` name one."""

    __slots__ = ("_inferloom_file", "_inferloom_reference")

    _inferloom_reference: Reference
    _inferloom_file: str

    def __init__(self, reference: Reference, file: str) -> None:
        object.__setattr__(self, "_inferloom_reference", reference)
        object.__setattr__(self, "_inferloom_file", file)

    def __getattr__(self, name: str) -> Symbol:
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, name: str) -> Symbol:
        reference = self._inferloom_reference
        if not isinstance(name, str):
            self._inferloom_refuse("indexes")
        if reference.output:
            self._inferloom_refuse(f"takes {name!r} of")
        return Symbol(Reference(reference.node, name), self._inferloom_file)

    def __repr__(self) -> str:
        return f"<{self._inferloom_reference}, while the pipeline is traced>"

    def _inferloom_refuse(self, does: str) -> NoReturn:
        place = here(self._inferloom_file)
        reference = self._inferloom_reference
        raise TracedValueError(
            f"{place}: `{place.text}` {does} '{reference}', which has no value yet: a pipeline is traced once, not run per "
            f"request. To choose, use route(on=..., arms={{...}}); to compute, put it into a function with @step"
        )


def reference_of(value: Symbol) -> Reference:
    return value._inferloom_reference


def _refusal(does: str) -> Callable[..., Any]:
    def refuse(self: Symbol, *_: Any, **__: Any) -> NoReturn:
        self._inferloom_refuse(does)

    return refuse


_REFUSED = {
    "decides by": "bool",
    "compares": "eq ne lt le gt ge contains",
    "takes the length of": "len length_hint",
    "loops over": "iter next reversed aiter",
    "makes text of": "str format bytes fspath",
    "computes with": "add radd iadd sub rsub isub mul rmul imul matmul rmatmul imatmul truediv rtruediv itruediv floordiv "
    "rfloordiv ifloordiv mod rmod imod divmod rdivmod pow rpow ipow lshift rlshift rshift rrshift and rand iand or ror ior "
    "xor rxor ixor neg pos abs invert round trunc floor ceil",
    "makes a number of": "int float complex index",
    "makes an array of": "array array_ufunc array_function",
    "looks something up by": "hash",
    "changes": "setitem delitem setattr delattr",
    "calls": "call",
    "awaits": "await",
    "enters": "enter aenter",
    "copies": "copy deepcopy reduce_ex",
}
for _does, _names in _REFUSED.items():
    for _name in _names.split():
        setattr(Symbol, f"__{_name}__", _refusal(_does))
