"""Which arm a request takes, by CEL conditions: the first that holds.

An expression sees `metadata`, a map of texts (keys in lower case), and the inputs that the Route names: a tensor of one
element as a value, others as lists; BYTES as text where they are UTF-8. A condition that cannot be evaluated (a key that is
not there) does not hold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from inferloom.mesh.call import Metadata
from inferloom.mesh.errors import ConfigError, InvalidInput
from inferloom.services.tensor import Tensor

__all__ = ["MOST_ELEMENTS", "Rules", "compiled", "plain", "text_of"]

MOST_ELEMENTS = 4096  # of a tensor that an expression may see
METADATA = "metadata"

log = structlog.get_logger(__name__)


def compiled(expression: str) -> Any:
    """A program; `execute(names)` gives its value.

    Raises:
        InvalidInput: it is no CEL.
        ConfigError: the package that reads CEL is not installed.
    """
    try:
        import cel  # megabytes that most pipelines do without
    except ImportError:
        raise ConfigError("routes by rules need CEL: pip install 'inferloom[rules]'") from None

    try:
        return cel.compile(expression)
    except ValueError as error:
        raise InvalidInput(f"{expression!r} is no CEL expression: {error}") from None


class Rules:
    """Conditions by arm, in their order."""

    def __init__(self, conditions: Sequence[tuple[str, str]]) -> None:
        self._programs = [(arm, text, compiled(text)) for arm, text in conditions]

    def choose(self, metadata: Metadata, inputs: Mapping[str, Tensor]) -> str | None:
        """The first arm whose condition is true; None where there is none.

        Raises:
            InvalidInput: an input has more than MOST_ELEMENTS elements.
        """
        names: dict[str, Any] = {METADATA: {k: v for k, v in metadata if isinstance(v, str)}}
        for name, tensor in inputs.items():
            names[name] = plain(tensor, name)
        for arm, text, program in self._programs:
            try:
                value = program.execute(names)
            except (ValueError, TypeError, LookupError, RuntimeError, ArithmeticError) as error:
                log.debug("condition does not hold", arm=arm, condition=text, why=str(error))
                continue
            if value is True:
                return arm
        return None


def plain(tensor: Tensor, name: str) -> Any:
    """A tensor as Python values."""
    if math.prod(tensor.shape) > MOST_ELEMENTS:
        raise InvalidInput(
            f"'{name}' has shape {list(tensor.shape)}; a rule may look at {MOST_ELEMENTS} elements at most"
        )
    array = tensor.array
    values = array.reshape(-1).tolist()
    if tensor.datatype == "BYTES":
        values = [_text(value) for value in values]
    return (
        values[0] if len(values) == 1 else values if array.ndim <= 1 or tensor.datatype == "BYTES" else array.tolist()
    )


def text_of(tensor: Tensor) -> str:
    """The value of one element as the name of an arm: text as it is, numbers as written, true and false."""
    if math.prod(tensor.shape) != 1:
        raise InvalidInput(f"the value that names an arm has shape {list(tensor.shape)}; it must be one element")
    value = tensor.array.reshape(-1).tolist()[0]
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(_text(value)) if isinstance(value, bytes) else str(value)


def _text(value: bytes) -> Any:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value
