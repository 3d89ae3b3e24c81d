"""Handles to what is declared in Python: arguments and answers are Python values."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast

from inferloom.mesh.errors import InvalidInput
from inferloom.services.declare.handle import PLAIN, Handle, HandleOptions
from inferloom.services.declare.pending import Pending
from inferloom.services.recording import recorder
from inferloom.services.tensor import Tensor

if TYPE_CHECKING:
    from inferloom.services.typed import Types

__all__ = ["TypedHandle"]

R_co = TypeVar("R_co", covariant=True)


class TypedHandle(Handle[R_co], Generic[R_co]):
    """A handle to something whose types are known here: arguments and answer are Python values."""

    def __init__(
        self,
        name: str,
        types: Callable[[], Types],
        parameters: inspect.Signature,
        settings: HandleOptions = PLAIN,
    ) -> None:
        super().__init__(name, settings)
        self._types = types
        self._parameters = parameters

    def _with(self, settings: HandleOptions) -> Self:
        return cast(Self, TypedHandle(self.name, self._types, self._parameters, settings))

    def __call__(self, *positional: Any, **inputs: Any) -> Pending[R_co]:
        """Begin the call. Arguments as of the function; they may be `Pending` themselves."""
        if positional and recorder.get() is not None:
            positional, inputs = (), self.bound(positional, inputs)
        return super().__call__(*positional, **inputs)

    def _named(self, positional: Sequence[Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
        tensors = self._types().tensors_of(self.bound(positional, inputs))
        return {name: tensor.array for name, tensor in tensors.items()}

    def bound(self, positional: Sequence[Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments by name. InvalidInput where they are not those of the function."""
        try:
            return dict(self._parameters.bind(*positional, **inputs).arguments)
        except TypeError as error:
            parameters = str(self._parameters).replace("'", "")  # of annotations that were never evaluated
            raise InvalidInput(f"{self.name}{parameters}: {error}") from None

    async def _once(self, positional: Sequence[Any], inputs: Mapping[str, Any]) -> Any:
        return self._value(await super()._once(positional, inputs))

    async def _stream(self, positional: Sequence[Any], inputs: Mapping[str, Any]) -> AsyncGenerator[Any]:
        async with aclosing(super()._stream(positional, inputs)) as answers:
            async for answer in answers:
                yield self._value(answer)

    def _value(self, answer: Any) -> Any:
        tensors = {name: Tensor.of(array, answer.datatypes[name], name) for name, array in answer.items()}
        return self._types().value_of(tensors)

    def _replaced_answer(self, answer: Any) -> Any:
        return answer  # a function that stands for it returns what it would
