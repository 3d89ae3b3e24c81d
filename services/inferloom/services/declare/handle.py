"""Handles: what a model, service or pipeline is called by, `await digits(pixels=x)`.

Balancing, retries, health and the trace are those of any call in the mesh; deadline and metadata are the running call's.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any, Final, Generic, Self, TypeVar, final

from inferloom.mesh.errors import InferloomError, InvalidInput
from inferloom.services.caller import the_caller
from inferloom.services.declare.options import check_version, check_whole, seconds
from inferloom.services.declare.pending import Pending, resolved
from inferloom.services.declare.place import caller_place
from inferloom.services.declare.replacement import Replacement, replaced, replacement, result_of
from inferloom.services.recording import recorder

__all__ = ["NO_FALLBACK", "PLAIN", "Handle", "HandleOptions", "NoFallback"]

R_co = TypeVar("R_co", covariant=True)


@final
class NoFallback:
    """That no fallback was given: None may be one."""

    def __repr__(self) -> str:
        return "NO_FALLBACK"


NO_FALLBACK: Final = NoFallback()


@dataclass(frozen=True, slots=True)
class HandleOptions:
    """How one handle calls.

    `fallback` answers where the call fails: a mapping of outputs, another handle (called with the same inputs) or, outside
    of pipelines, a function of the inputs.
    """

    timeout: float | None = None  # seconds, within what is left of the running call's deadline
    version: str = ""  # "": the one that the mesh chooses
    attempts: int = 0  # in pipelines: tries in all; 0: as the model's policy says
    fallback: Any = NO_FALLBACK
    skip: bool = False  # in pipelines: a failure leaves its outputs out, and skips what needs them
    place: str = ""  # file:line where the options were given

    def changed(
        self,
        *,
        timeout: float | str | None,
        version: str | int = "",
        attempts: int | None,
        fallback: Any,
        skip: bool | None,
    ) -> HandleOptions:
        """With those that are given. ConfigError, naming the caller's line, where one makes no sense."""
        place = caller_place()
        return HandleOptions(
            timeout=seconds(timeout, "timeout", place) if timeout is not None else self.timeout,
            version=check_version(version, place) if version else self.version,
            attempts=check_whole("attempts", attempts, 1, place) if attempts is not None else self.attempts,
            fallback=self.fallback if isinstance(fallback, NoFallback) else fallback,
            skip=self.skip if skip is None else skip,
            place=place,
        )


PLAIN: Final = HandleOptions()


class Handle(Generic[R_co]):
    """Calls something by its name in the catalog. The answer is an InferResult, as a client gets it.

    Args:
        name: in the catalog.
        settings: see `options`.
    """

    def __init__(self, name: str, settings: HandleOptions = PLAIN) -> None:
        self.name = name
        self.settings = settings

    def __call__(self, *positional: Any, **inputs: Any) -> Pending[R_co]:
        """Begin the call. Inputs by name; a model with one input takes it without. Inputs may be `Pending` themselves.

        Raises (when it is awaited):
            InvalidInput: the inputs are not what it takes.
            ModelNotFound, NoReplica, Exhausted, DeadlineExceeded, ReplicaError: as the client does.
        """
        tracing = recorder.get()
        if tracing is not None:
            traced: Pending[R_co] = tracing.call_model(
                self.name, self.settings.version, positional, inputs, self.settings
            )
            return traced
        return Pending(lambda: self._answer(positional, inputs), self.name)

    async def stream(self, *positional: Any, **inputs: Any) -> AsyncGenerator[Any]:
        """The answers of one that gives any number of them, as they come."""
        self._only_in_pipelines()
        positional, inputs = await resolved(positional), await resolved(inputs)
        function = replacement(self.name)
        if function is not None:
            async with aclosing(function.stream(positional, inputs)) as answers:
                async for answer in answers:
                    yield self._replaced_answer(answer)
            return
        async with aclosing(self._stream(positional, inputs)) as answers:
            async for answer in answers:
                yield answer

    def options(
        self,
        *,
        timeout: float | str | None = None,
        version: str | int = "",
        attempts: int | None = None,
        fallback: Any = NO_FALLBACK,
        skip: bool | None = None,
    ) -> Self:
        """A handle that calls the same with other options; those not given stay.

        Raises:
            ConfigError: an option makes no sense; names the place.
        """
        return self._with(
            self.settings.changed(timeout=timeout, version=version, attempts=attempts, fallback=fallback, skip=skip)
        )

    @contextmanager
    def replaced(self, function: Callable[..., Any]) -> Iterator[None]:
        """Answer calls of this name by a function, everywhere in the process: for tests.

        Args:
            function: takes the inputs by name, async or not; returns a mapping of arrays, a dataclass or an InferResult.
        """
        with replaced({self.name: function}):
            yield

    def dependency(self) -> Self:
        """Itself, for FastAPI: `Annotated[Handle, Depends(digits.dependency)]`."""
        return self

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}{':' + self.settings.version if self.settings.version else ''}>"

    def _with(self, settings: HandleOptions) -> Self:
        raise NotImplementedError

    async def _once(self, positional: Sequence[Any], inputs: Mapping[str, Any]) -> Any:
        """Calls it through the mesh."""
        return await the_caller().infer(
            self.name,
            self._named(positional, inputs),
            version=self.settings.version,
            timeout=self.settings.timeout,
        )

    def _stream(self, positional: Sequence[Any], inputs: Mapping[str, Any]) -> AsyncGenerator[Any]:
        return the_caller().stream(
            self.name,
            self._named(positional, inputs),
            version=self.settings.version,
            timeout=self.settings.timeout,
        )

    def _replaced_answer(self, answer: Any) -> Any:
        """What a function that stands for it returned, as its own answer would be."""
        return result_of(answer, self.name)

    async def _answer(self, positional: Sequence[Any], inputs: Mapping[str, Any]) -> Any:
        self._only_in_pipelines()
        positional, inputs = await resolved(tuple(positional)), await resolved(dict(inputs))
        try:
            function = replacement(self.name)
            if function is not None:
                return self._replaced_answer(await function(positional, inputs))
            return await self._once(positional, inputs)
        except InferloomError:
            if isinstance(self.settings.fallback, NoFallback):
                raise
            return await self._fall_back(positional, inputs)

    async def _fall_back(self, positional: Sequence[Any], inputs: Mapping[str, Any]) -> Any:
        fallback = self.settings.fallback
        if isinstance(fallback, Handle):
            return await fallback(*positional, **inputs)
        if callable(fallback):
            fallback = await Replacement(self.name, fallback)(positional, inputs)
        return self._replaced_answer(fallback)

    def _named(self, positional: Sequence[Any], inputs: Mapping[str, Any]) -> Any:
        if not positional:
            return inputs
        if inputs or len(positional) > 1:
            raise InvalidInput(f"give the inputs of '{self.name}' by name: {self.name}(NAME=value, ...)")
        return positional[0]

    def _only_in_pipelines(self) -> None:
        for name, given in (("attempts", self.settings.attempts), ("skip", self.settings.skip)):
            if given:
                raise InvalidInput(
                    f"{self.settings.place}: {name}= of '{self.name}' holds in pipelines; outside of them its policy says "
                    "how often it is tried, and `fallback=` what answers instead"
                )
