"""The last step of a pipeline that streams: everything before it has run, and its answers pass one by one."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from inferloom.mesh.call import Call
from inferloom.mesh.errors import InferloomError
from inferloom.mesh.oip import MODEL_STREAM_INFER
from inferloom.mesh.router.router import Router
from inferloom.services.composer.node_model import ModelCallee
from inferloom.services.composer.node_step import Wire
from inferloom.services.composer.run import Frame
from inferloom.services.composer.status import at
from inferloom.services.declare.inside_stream import StreamAttempt
from inferloom.services.tensor import Tensor, Tensors

__all__ = ["StreamStep"]


class StreamStep:
    """Calls a model or service that streams. One try at one replica: what was answered cannot be taken back.

    Args:
        outputs: the pipeline's output for each of the model's.
    """

    def __init__(
        self,
        router: Router,
        callee: ModelCallee,
        where: str,
        wires: tuple[Wire, ...],
        constants: Tensors,
        outputs: dict[str, str],
    ) -> None:
        self._router = router
        self._callee = callee
        self._where = f"{where}: {callee.label}"
        self._wires = wires
        self._constants = constants
        self._outputs = outputs

    async def answers(self, frame: Frame) -> AsyncGenerator[dict[str, Tensor]]:
        """The pipeline's outputs, answer by answer. Nothing where an input was skipped.

        Raises:
            InferloomError: of the model; names pipeline, node and model.
        """
        tensors: dict[str, Tensor] = dict(self._constants)
        for name, slot, optional in self._wires:
            value = frame.values[slot]
            if value is not None:
                tensors[name] = value
            elif not optional:
                return
        callee, router = self._callee, self._router
        payload = callee.payload(tensors, frame.parameters)
        call = Call(callee.model, callee.version, MODEL_STREAM_INFER.path, payload, frame.metadata, frame.deadline)
        try:
            endpoint = router.pool.group(callee.model).choose(call, router.clock.now())
            async with aclosing(StreamAttempt(router, call, endpoint).answers()) as answers:
                async for answer in answers:
                    kinds = answer.datatypes
                    yield {
                        to: Tensor.of(answer[name], kinds[name], name)
                        for name, to in self._outputs.items()
                        if name in answer
                    }
        except InferloomError as error:
            raise at(error, self._where) from error
