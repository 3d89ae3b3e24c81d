"""A pipeline as something that answers like a model."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from inferloom.mesh.catalog import Kind, Repeat
from inferloom.mesh.clock import Clock
from inferloom.mesh.errors import InvalidInput, Unsupported
from inferloom.mesh.explain.story import current_story
from inferloom.mesh.oip import pb
from inferloom.services.answerer import Description
from inferloom.services.composer.flow import Flow
from inferloom.services.composer.plan import Plan
from inferloom.services.composer.run import Frame, execute
from inferloom.services.context import CallContext
from inferloom.services.signature import Signature
from inferloom.services.tensor import Tensor, Tensors, from_request, to_response
from inferloom.services.typed import Types

__all__ = ["Pipeline"]

_SEQUENCES = ("sequence_id", "sequence_start", "sequence_end")


class Pipeline:
    """One version of a pipeline. Requests in flight end on the version they began with.

    Args:
        types: of its JSON face.
        repeat: the most careful word of all it calls.
        flow: counts what runs through its nodes; that of the version before goes on counting.
    """

    kind = Kind.PIPELINE
    version = "1"

    def __init__(
        self, plan: Plan, types: Types, repeat: Repeat, clock: Clock, text: str = "", flow: Flow | None = None
    ) -> None:
        self.plan = plan
        self.flow = flow or Flow()
        self.name = plan.name
        self.repeat = repeat
        self.signature: Signature = plan.signature
        self._types = types
        self._clock = clock
        self._text = text
        self._inputs = {spec.name: (spec, slot) for spec, slot, _ in plan.inputs}
        self._wanted = dict(plan.outputs)

    @property
    def max_batch_size(self) -> int:
        """Rows of a request; 0: it does not batch."""
        return self.plan.most

    async def infer(self, request: Any, context: CallContext) -> Any:
        """A ModelInferResponse; what happened is in its parameters (`votes.late`).

        Raises:
            InvalidInput: a tensor is missing, unknown, or of another type or shape; or an output is not one of its.
            InferloomError: of a node; names pipeline, node and model.
        """
        self._answers_once()
        outputs = self._asked(request)
        frame = self._frame(from_request(request), context, self._parameters(request))
        await self._run(frame)
        response = pb.ModelInferResponse(model_name=self.name, model_version=self.version, id=request.id)
        add, raws, values = response.outputs.add, response.raw_output_contents, frame.values
        for name, slot in outputs:
            value = values[slot]
            if value is not None:
                add(name=name, datatype=value[0], shape=value[1])
                raws.append(bytes(value[2]))
        for key, note in frame.notes.items():
            response.parameters[key].string_param = note
        return response

    async def call_json(self, body: bytes, context: CallContext) -> bytes:
        self._answers_once()
        tensors = self._types.tensors_of(self._types.arguments_json(body))
        frame = self._frame(tensors, context, b"")
        await self._run(frame)
        found = {n: value for n, slot in self.plan.outputs if (value := frame.values[slot]) is not None}
        return self._types.result_json(self._types.value_of(found))

    async def stream(self, request: Any, context: CallContext) -> AsyncIterator[Any]:
        """ModelInferResponses, where its last step streams; else Unsupported."""
        frame = self._frame(from_request(request), context, self._parameters(request))
        async with aclosing(self._answers(frame)) as answers:
            async for found in answers:
                yield to_response(found.items(), self.name, self.version, request.id)

    async def stream_json(self, body: bytes, context: CallContext) -> AsyncIterator[bytes]:
        frame = self._frame(self._types.tensors_of(self._types.arguments_json(body)), context, b"")
        async with aclosing(self._answers(frame)) as answers:
            async for found in answers:
                yield self._types.result_json(self._types.value_of(found))

    async def _answers(self, frame: Frame) -> AsyncGenerator[dict[str, Tensor]]:
        stream = self.plan.stream
        if stream is None:
            raise Unsupported(f"pipeline '{self.name}' answers once: use ModelInfer")
        await self._run(frame)
        async with aclosing(stream.answers(frame)) as answers:
            async for found in answers:
                yield found

    def describe(self) -> Description:
        return self._types.description(self._text)

    def _answers_once(self) -> None:
        if self.plan.stream is not None:
            raise Unsupported(f"pipeline '{self.name}' streams its answers: use ModelStreamInfer")

    async def _run(self, frame: Frame) -> None:
        story = current_story.get()
        if story is not None and story.hosted:
            story.steps, story.notes = frame.steps, frame.notes
        failed = True
        try:
            whole = self.plan.whole
            if whole is not None:
                await whole.submit(frame)
            else:
                await execute(self.plan.segment, frame)
            failed = False
        finally:
            self.flow.add(frame.steps, frame.notes, failed=failed)

    def _frame(self, tensors: Tensors, context: CallContext, parameters: bytes) -> Frame:
        deadline = context.deadline
        plan = self.plan
        if plan.timeout is not None:
            deadline = min(deadline, self._clock.now() + plan.timeout)
        values: list[Tensor | None] = [None] * plan.size
        taken = 0
        for spec, slot, default in plan.inputs:
            tensor = tensors.get(spec.name)
            if tensor is None:
                if default is None and not spec.optional:
                    raise InvalidInput(f"no input '{spec.name}'; {self.takes()}")
                values[slot] = default
                continue
            taken += 1
            if tensor[0] != spec.datatype or not _fits(tensor[1], spec.shape):
                raise InvalidInput(
                    f"input '{spec.name}' is {tensor[0]} [{','.join(map(str, tensor[1]))}]; {self.takes()}"
                )
            values[slot] = tensor
        if taken != len(tensors):
            unknown = ", ".join(f"'{name}'" for name in tensors if name not in self._inputs)
            raise InvalidInput(f"no input is called {unknown}; {self.takes()}")
        segment = plan.segment if plan.whole is None else plan.whole.segment
        return Frame(segment, values, deadline, context.metadata, parameters)

    def takes(self) -> str:
        return f"pipeline '{self.name}' takes {', '.join(map(str, self.signature.inputs)) or 'nothing'}"

    def _asked(self, request: Any) -> tuple[tuple[str, int], ...]:
        if not request.outputs:
            return self.plan.outputs
        names = [output.name for output in request.outputs]
        for name in names:
            if name not in self._wanted:
                raise InvalidInput(f"no output '{name}'; pipeline '{self.name}' gives {', '.join(self._wanted)}")
        return tuple((name, self._wanted[name]) for name in names)

    def _parameters(self, request: Any) -> bytes:
        """The request's parameters, for every model it calls. InvalidInput where they make it part of a sequence."""
        if not request.parameters:
            return b""
        for key in _SEQUENCES:
            if key in request.parameters:
                raise InvalidInput(f"parameter '{key}': pipeline '{self.name}' keeps no sequences")
        only = pb.ModelInferRequest()
        for key in sorted(request.parameters):
            only.parameters[key].CopyFrom(request.parameters[key])
        return bytes(only.SerializeToString(deterministic=True))


def _fits(shape: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    if shape == wanted or not wanted:  # (): any
        return True
    if wanted == (1,):  # a single value may come as one of a batch
        return all(size == 1 for size in shape)
    return len(shape) == len(wanted) and all(want in (-1, size) for size, want in zip(shape, wanted, strict=True))
