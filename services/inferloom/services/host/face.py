"""The face of a host: the methods of the Open Inference Protocol and of TypedService over a table of Answerers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from inferloom.mesh.catalog import Kind as ReplicaKind
from inferloom.mesh.clock import SYSTEM, Clock, seeded
from inferloom.mesh.errors import Forbidden, InvalidInput, Unsupported, status_of
from inferloom.mesh.explain.explainer import Explainer
from inferloom.mesh.oip import CALL, DESCRIBE, METHODS, MODEL_INFER, MODEL_STREAM_INFER, SERVICE, TYPED, Kind, pb
from inferloom.mesh.policy import TrafficPolicy
from inferloom.mesh.router.face import abort
from inferloom.mesh.router.metadata import forwarded
from inferloom.mesh.telemetry.failures import FailureLog
from inferloom.mesh.telemetry.tracing import Tracing
from inferloom.mesh.version import __version__
from inferloom.services.answerer import Answerer
from inferloom.services.context import CallContext
from inferloom.services.host.described import config_of, metadata_of
from inferloom.services.host.explained import Explained
from inferloom.services.host.fault import from_outside, inside
from inferloom.services.host.stream import StreamFace
from inferloom.services.host.table import Table
from inferloom.services.host.tally import Tally
from inferloom.services.host.traced import name_it, traced
from inferloom.v1 import typed_pb2

__all__ = ["HostFace"]

POLICY = TrafficPolicy()
EXTENSIONS = ("model_configuration", "statistics", "parameters", "binary_tensor_data")
CALL_STREAM = f"/{TYPED}/CallStream"

M = TypeVar("M", bound=Message)
Answer = Callable[[bytes, CallContext], Awaitable[Any]]  # of a protobuf message


def parsed(kind: type[M], request: bytes) -> M:
    """The message, or InvalidInput."""
    try:
        return kind.FromString(request)
    except DecodeError:
        raise InvalidInput(f"the request is no {kind.DESCRIPTOR.full_name}: its bytes do not parse") from None


class HostFace:
    """Answers every method.

    Attributes:
        handlers: grpc handlers of streaming methods, by path.
        calls: unary methods, by path: `(metadata, request, context) -> bytes` (see mesh.router.methods).
    """

    def __init__(
        self,
        table: Table,
        tally: Tally,
        clock: Clock = SYSTEM,
        tracing: Tracing | None = None,
        explainer: Explainer | None = None,
    ) -> None:
        self._explained = Explained(explainer or Explainer(clock, seeded(), "host"))
        self._table = table
        self._tally = tally
        self._clock = clock
        self._unary = 0
        self._failures = FailureLog(clock)
        self._tracing = tracing or Tracing()
        self._stream = StreamFace(table, tally, clock, self._tracing)
        self._answers: dict[str, Answer] = {
            MODEL_INFER.path: self._infer,
            CALL.path: self._call,
            DESCRIBE.path: self._describe,
            **{f"/{SERVICE}/{name}": answer for name, answer in self._informing().items()},
            **{path: _refused(method.name) for path, method in METHODS.items() if method.kind is Kind.FORBIDDEN},
        }
        self.calls: dict[str, Any] = {path: self._served(path, answer) for path, answer in self._answers.items()}
        self.handlers: dict[str, Any] = {
            MODEL_STREAM_INFER.path: grpc.stream_stream_rpc_method_handler(self._stream.infer),
            CALL_STREAM: grpc.unary_stream_rpc_method_handler(self._stream.call),
        }

    @property
    def busy(self) -> int:
        """Requests under way."""
        return self._unary + self._stream.busy

    @contextmanager
    def working(self) -> Iterator[None]:
        """Counts as a request under way: for other faces of the same table."""
        self._unary += 1
        try:
            yield
        finally:
            self._unary -= 1

    async def answer(self, path: str, payload: bytes, context: CallContext) -> Any:
        """What the unary method answers, as a message. Raises InferloomError."""
        return await self._answers[path](payload, context)

    async def infer(self, request: Any, context: CallContext) -> Any:
        """A ModelInferResponse for a ModelInferRequest. Raises InferloomError."""
        answerer = self._table.find(request.model_name, request.model_version)
        answer = self._counted(answerer, answerer.infer(request, context), request.id, context)
        return await self._explained.answer(answerer, answer, MODEL_INFER.path, request.id, context)

    def stream(self, request: Any, context: CallContext) -> AsyncGenerator[Any, None]:
        """ModelInferResponses, one by one; one where the model answers once. Raises InferloomError."""
        return self._stream.answers(request, context)

    def _informing(self) -> dict[str, Answer]:
        return {
            "ServerLive": self._server_live,
            "ServerReady": self._server_ready,
            "ServerMetadata": self._server_metadata,
            "ModelReady": self._model_ready,
            "ModelMetadata": self._model_metadata,
            "ModelConfig": self._model_config,
            "ModelStatistics": self._model_statistics,
            "RepositoryIndex": self._repository_index,
        }

    def _served(self, path: str, answer: Answer) -> Any:
        now = self._clock.now
        if self._tracing.on and path in (MODEL_INFER.path, CALL.path):
            answer = traced(self._tracing, path, answer)

        async def serve(metadata: Any, request: bytes, context: Any) -> bytes:
            with self.working():
                try:
                    remaining = context.time_remaining()
                    remaining = POLICY.timeout if remaining is None else min(remaining, POLICY.longest)
                    passed_on = forwarded(metadata)
                    with self._explained.telling(passed_on) as story:
                        reply = await answer(request, CallContext(now() + remaining, passed_on))
                    if story.trailing:
                        context.set_trailing_metadata(story.trailing)
                    return bytes(reply.SerializeToString())
                except asyncio.CancelledError:
                    raise
                except Exception as error:
                    await abort(context, error, path)
                    raise AssertionError from error  # abort always raises

        return serve

    async def _infer(self, payload: bytes, context: CallContext) -> Any:
        return await self.infer(parsed(pb.ModelInferRequest, payload), context)

    async def _call(self, payload: bytes, context: CallContext) -> Any:
        request = parsed(typed_pb2.TypedRequest, payload)
        answerer = self._table.find(request.model_name, request.model_version)
        answer = self._counted(answerer, answerer.call_json(request.json, context), "", context)
        reply = await self._explained.answer(answerer, answer, CALL.path, "", context)
        return typed_pb2.TypedResponse(json=reply)

    async def _counted(self, answerer: Answerer, answer: Awaitable[Any], request_id: str, context: CallContext) -> Any:
        began = self._clock.now()
        code: grpc.StatusCode | None = None
        name_it(answerer)
        try:
            reply = await answer
            code = grpc.StatusCode.OK
            return reply
        except Exception as error:
            told = from_outside(error, answerer.name, request_id, context.metadata)
            code = told.code
            self._failures.told(
                code,
                status_of(told).message,
                self._clock.now() - began,
                model=answerer.name,
                version=answerer.version,
                request_id=request_id,
                metadata=context.metadata,
            )
            raise (inside(told) if answerer.kind is ReplicaKind.PIPELINE else told) from error
        finally:
            seconds = self._clock.now() - began
            self._tally.add(answerer.name, answerer.version, seconds, self._clock.wall(), code)

    async def _describe(self, payload: bytes, context: CallContext) -> Any:
        request = parsed(typed_pb2.DescribeRequest, payload)
        description = self._table.find(request.model_name, request.model_version).describe()
        return typed_pb2.DescribeResponse(
            description=description.text,
            request_schema=json.dumps(description.request),
            response_schema=json.dumps(description.response),
            streams=description.streams,
            method=description.method,
        )

    async def _server_live(self, payload: bytes, context: CallContext) -> Any:
        return pb.ServerLiveResponse(live=True)

    async def _server_ready(self, payload: bytes, context: CallContext) -> Any:
        return pb.ServerReadyResponse(ready=True)

    async def _server_metadata(self, payload: bytes, context: CallContext) -> Any:
        return pb.ServerMetadataResponse(name="inferloom host", version=__version__, extensions=EXTENSIONS)

    async def _model_ready(self, payload: bytes, context: CallContext) -> Any:
        request = parsed(pb.ModelReadyRequest, payload)
        versions = self._table.versions(request.name)
        return pb.ModelReadyResponse(ready=request.version in versions if request.version else bool(versions))

    async def _model_metadata(self, payload: bytes, context: CallContext) -> Any:
        request = parsed(pb.ModelMetadataRequest, payload)
        answerer = self._table.find(request.name, request.version)
        return metadata_of(answerer, self._table.versions(request.name))

    async def _model_config(self, payload: bytes, context: CallContext) -> Any:
        request = parsed(pb.ModelConfigRequest, payload)
        return config_of(self._table.find(request.name, request.version))

    async def _model_statistics(self, payload: bytes, context: CallContext) -> Any:
        request = parsed(pb.ModelStatisticsRequest, payload)
        if request.name:
            self._table.find(request.name, request.version)
        asked = [
            (each.name, each.version)
            for each in self._table
            if request.name in ("", each.name) and request.version in ("", each.version)
        ]
        return self._tally.statistics(asked)

    async def _repository_index(self, payload: bytes, context: CallContext) -> Any:
        answer = pb.RepositoryIndexResponse()
        for each in self._table:
            answer.models.add(name=each.name, version=each.version, state="READY")
        return answer


def _refused(name: str) -> Answer:
    async def refuse(payload: bytes, context: CallContext) -> Any:
        if name.startswith(("RepositoryModel", "SystemShared", "CudaShared")):
            raise Forbidden(f"{name} is not served: a host's models are its app's services")
        raise Unsupported(f"{name} is not served by a host")

    return refuse
