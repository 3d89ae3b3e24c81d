"""Functions that answer in place of models: for tests, and as fallbacks."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from inferloom.clients.fit import to_array
from inferloom.clients.result import InferResult
from inferloom.mesh.errors import InvalidInput
from inferloom.services.tensor import Tensor, to_response

__all__ = ["Replacement", "replaced", "replaced_names", "replacement", "result_of"]

_replacements: dict[str, Replacement] = {}  # of the whole process, as with unittest.mock.patch


class Replacement:
    """A function that stands for a name of the catalog. Takes the inputs by name, or by position where they were so given."""

    __slots__ = ("_function", "_name", "_signature")

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        if not callable(function):
            raise InvalidInput(f"'{name}' is replaced by a function, not by a {type(function).__name__}")
        self._name = name
        self._function = function
        try:
            self._signature: inspect.Signature | None = inspect.signature(function)
        except ValueError:  # some functions written in C do not tell
            self._signature = None

    @property
    def function(self) -> Callable[..., Any]:
        return self._function

    async def __call__(self, positional: Sequence[Any], inputs: Mapping[str, Any]) -> Any:
        """Raises InvalidInput where it does not take these inputs."""
        answer = self._begun(positional, inputs)
        return await answer if inspect.isawaitable(answer) else answer

    async def stream(self, positional: Sequence[Any], inputs: Mapping[str, Any]) -> AsyncGenerator[Any]:
        """The answers of a generator function, async or not."""
        answers = self._begun(positional, inputs)
        if hasattr(answers, "__aiter__"):
            async for answer in answers:
                yield answer
        else:
            if not hasattr(answers, "__iter__") or isinstance(answers, Mapping):
                raise InvalidInput(f"'{self._name}' is streamed, so what replaces it must yield answers")
            for answer in answers:
                yield answer

    def _begun(self, positional: Sequence[Any], inputs: Mapping[str, Any]) -> Any:
        if self._signature is not None:
            try:
                self._signature.bind(*positional, **inputs)
            except TypeError as error:
                given = ", ".join([*(f"argument {n}" for n in range(1, len(positional) + 1)), *inputs]) or "nothing"
                raise InvalidInput(
                    f"'{self._name}' is called with {given}, and what replaces it takes {self._signature}: {error}"
                ) from None
        return self._function(*positional, **inputs)


@contextmanager
def replaced(functions: Mapping[str, Callable[..., Any]]) -> Iterator[None]:
    """Let these functions answer for these names, in all threads and tasks; what was so before is so again afterwards."""
    before = dict(_replacements)
    _replacements.update({name: Replacement(name, function) for name, function in functions.items()})
    try:
        yield
    finally:
        for name in functions:
            if name in before:
                _replacements[name] = before[name]
            else:
                _replacements.pop(name, None)


def replacement(name: str) -> Replacement | None:
    return _replacements.get(name)


def replaced_names() -> tuple[str, ...]:
    return tuple(_replacements)


def result_of(answer: Any, name: str) -> InferResult:
    """An InferResult of a mapping of arrays, a dataclass or named tuple of them, or an InferResult.

    A scalar becomes an array of one element.

    Raises:
        InvalidInput: it is none of these, or holds what no tensor can.
    """
    if isinstance(answer, InferResult):
        return answer
    if dataclasses.is_dataclass(answer) and not isinstance(answer, type):
        answer = {field.name: getattr(answer, field.name) for field in dataclasses.fields(answer)}
    elif isinstance(answer, tuple) and hasattr(answer, "_asdict"):
        answer = answer._asdict()
    if not isinstance(answer, Mapping):
        raise InvalidInput(
            f"what answers for '{name}' must return a mapping of outputs, a dataclass or an InferResult, "
            f"not a {type(answer).__name__}"
        )
    tensors = []
    for output, value in answer.items():
        array = np.atleast_1d(to_array(value))
        tensors.append((str(output), Tensor.of(array, name=str(output))))
    return InferResult(to_response(tensors, name))
