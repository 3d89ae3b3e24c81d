"""The face: turns gRPC requests of the Open Inference Protocol into Calls, and Replies into answers.

Payloads pass as bytes. It knows grpc.aio; nothing below it does, down to the transport.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import structlog
from grpc import StatusCode

from inferloom.mesh.call import Call
from inferloom.mesh.catalog import version_key
from inferloom.mesh.errors import Forbidden, InferloomError, InvalidInput, status_of
from inferloom.mesh.names import check_name
from inferloom.mesh.oip import METHODS, MODEL_INFER, SERVICE, Kind, Method, pb
from inferloom.mesh.router.information import Information
from inferloom.mesh.router.metadata import forwarded
from inferloom.mesh.router.router import Router
from inferloom.mesh.router.stream import StreamFace
from inferloom.mesh.telemetry.metrics import UNKNOWN_MODEL, UNKNOWN_VERSION
from inferloom.mesh.wire import Target, find_target

__all__ = ["OipFace", "abort"]

log = structlog.get_logger(__name__)

Context = Any
MODEL_METADATA = METHODS[f"/{SERVICE}/ModelMetadata"]


class OipFace:
    """Answers every method of `inference.GRPCInferenceService`.

    Attributes:
        handlers: grpc handlers by path.
        calls: the data path's methods by path: `(metadata, request, context) -> bytes`.
    """

    def __init__(self, router: Router) -> None:
        self._router = router
        self._information = Information(router)
        self._stream = StreamFace(router)
        self.handlers: dict[str, Any] = {}
        self.calls: dict[str, Callable[[Any, bytes, Context], Awaitable[bytes]]] = {}
        for path, method in METHODS.items():
            if method.kind is Kind.REPLICA:
                self.calls[path] = self._infer(method)
            else:
                self.handlers[path] = self._handler(method)
        self.calls[MODEL_METADATA.path] = self._metadata(MODEL_METADATA)

    @property
    def busy(self) -> bool:
        """Whether a request is under way."""
        return self._router.admission.requests > 0 or self._stream.busy

    def _handler(self, method: Method) -> Any:
        if method.kind is Kind.STREAM:
            return grpc.stream_stream_rpc_method_handler(self._stream.serve)
        if method.kind is Kind.FORBIDDEN:
            return grpc.unary_unary_rpc_method_handler(_forbid(method))
        return grpc.unary_unary_rpc_method_handler(self._inform(method))

    def _infer(self, method: Method) -> Callable[[Any, bytes, Context], Awaitable[bytes]]:
        """The data path."""
        router = self._router
        now, handle, finished, policy = router.clock.now, router.handle, router.metrics.finished, router.policy
        path, name_field, version_field = method.path, method.name_field, method.version_field
        infer, failed = method is MODEL_INFER, router.failures.raised

        async def serve(metadata: Any, request: bytes, context: Context) -> bytes:
            began = now()
            model, version, code = UNKNOWN_MODEL, "", StatusCode.OK
            call: Call | None = None
            try:
                target = find_target(request, name_field, version_field, infer=infer)
                if target.model not in router.pool.groups:
                    _refuse_nameless(target)
                else:
                    model = target.model
                    if target.version:
                        known = router.pool.groups[model].model.versions
                        version = target.version if target.version in known else UNKNOWN_VERSION
                rules = policy(model)
                remaining = context.time_remaining()
                remaining = rules.timeout if remaining is None else min(remaining, rules.longest)
                call = Call(
                    target.model,
                    target.version,
                    path,
                    request,
                    forwarded(metadata),
                    began + remaining,
                    target.sequence,
                )
                reply = await handle(call)
                if reply.initial:
                    await context.send_initial_metadata(reply.initial)
                if reply.trailing:
                    context.set_trailing_metadata(reply.trailing)
                return reply.payload
            except asyncio.CancelledError:
                code = StatusCode.CANCELLED
                raise
            except Exception as error:
                given = tuple(metadata or ())
                code = failed(error, began, model=model, version=version, method=path, metadata=given).code
                if call is None:
                    router.tracing.refused(path, metadata, error)
                await abort(context, error, path)
                raise AssertionError from error  # abort always raises
            finally:
                finished(model, version, code, now() - began)

        return serve

    def _metadata(self, method: Method) -> Callable[[Any, bytes, Context], Awaitable[bytes]]:
        """A replica's answer, with all versions where none is asked: the replica was asked for its default one."""
        ask = self._infer(method)

        async def serve(metadata: Any, request: bytes, context: Context) -> bytes:
            payload = await ask(metadata, request, context)
            asked = pb.ModelMetadataRequest.FromString(request)
            group = self._router.pool.groups.get(asked.name)
            if asked.version or group is None:
                return payload
            answer = pb.ModelMetadataResponse.FromString(payload)
            answer.versions[:] = sorted({*answer.versions, *group.model.versions}, key=version_key)
            return bytes(answer.SerializeToString())

        return serve

    def _inform(self, method: Method) -> Callable[[bytes, Context], Awaitable[bytes]]:
        """Methods the mesh answers itself, from the catalog or by asking all replicas."""
        answer = getattr(self._information, _snake(method.name))

        async def serve(request: bytes, context: Context) -> bytes:
            try:
                remaining = context.time_remaining()
                deadline = self._router.clock.now() + (10.0 if remaining is None else min(remaining, 60.0))
                result: bytes = await answer(request, deadline)
                return result
            except asyncio.CancelledError:
                raise
            except Exception as error:
                await abort(context, error, method.path)
                raise AssertionError from error

        return serve


async def abort(context: Any, error: BaseException, where: str) -> None:
    """End the call with the error's status. What is not one of ours is logged, and says nothing over the wire."""
    if not isinstance(error, InferloomError):
        log.error("request failed unexpectedly", method=where, exc_info=error)
    status = status_of(error)
    await context.abort(status.code, status.message, status.trailing)


def _refuse_nameless(target: Target) -> None:
    if not target.model:
        raise InvalidInput("the request names no model")
    check_name(target.model)


def _forbid(method: Method) -> Callable[[bytes, Context], Awaitable[bytes]]:
    text = f"{method.name} is not passed on by the mesh: it would change one replica behind the others' backs"

    async def serve(request: bytes, context: Context) -> bytes:
        await abort(context, Forbidden(text), method.path)
        raise AssertionError

    return serve


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
