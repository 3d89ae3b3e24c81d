"""The typed services on the router's gRPC port: inferloom.models.NAME.v1.NAMEService, without generated code."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

import grpc
from grpc import StatusCode

from inferloom.mesh.call import Call, Reply
from inferloom.mesh.errors import ModelNotFound, RegistryUnavailable, Unsupported
from inferloom.mesh.latest import Latest
from inferloom.mesh.oip import CALL
from inferloom.mesh.router.face import abort
from inferloom.mesh.router.metadata import forwarded
from inferloom.mesh.router.router import Router
from inferloom.mesh.telemetry.metrics import UNKNOWN_MODEL
from inferloom.mesh.telemetry.tracing_span import NOTHING, Nothing, Span
from inferloom.services.proto.descriptor import file_descriptor_set
from inferloom.services.typed.faces import Faces
from inferloom.services.typed.http_answers import json_answers
from inferloom.services.typed.model_calls import arrays_of, off_loop, request_call, stream_arrays
from inferloom.services.typed.served import Served
from inferloom.services.typed.telling import telling
from inferloom.v1 import typed_pb2

__all__ = ["TypedFace"]

PREFIX = "/inferloom.models."
SETTLING = 1.0  # seconds a call of a service that is not known yet waits for the faces that are being made
Serve = Callable[[Served, bytes, Any], Awaitable[bytes]]


class TypedFace:
    """Implements mesh.router.extra.Extra.

    Args:
        router: started and closed by whoever made it.
        faces: of the same router, started and closed by whoever made them.
    """

    def __init__(self, router: Router, faces: Faces) -> None:
        self._router = router
        self._faces = faces
        self._streams = 0

    @property
    def busy(self) -> bool:
        return self._streams > 0  # calls with one answer are seen by the router's admission

    @property
    def served(self) -> Latest[Mapping[str, str]]:
        return self._faces.served

    def handler(self, path: str) -> Any | None:
        if not path.startswith(PREFIX):
            return None
        service, _, method = path[1:].partition("/")
        if method == "Predict":
            return grpc.unary_unary_rpc_method_handler(partial(self._unary, service, path, self._predict))
        if method == "Describe":
            return grpc.unary_unary_rpc_method_handler(partial(self._unary, service, path, self._describe))
        if method == "PredictStream":
            return grpc.unary_stream_rpc_method_handler(partial(self._stream, service, path))
        return None

    async def files(self, *, symbol: str = "", name: str = "") -> Sequence[bytes] | None:
        await self._faces.settled(SETTLING)
        for service, model in self._faces.served.value.items():
            package = service.rpartition(".")[0]
            if symbol != package and not symbol.startswith(f"{package}.") and not name.startswith(_folder(package)):
                continue
            face = (await self._faces.of(model)).face
            if (symbol and not _has(face, symbol)) or (name and name != face.file):
                continue
            found = list(file_descriptor_set(face).file)
            found.sort(key=lambda file: file.name != face.file)  # the one asked for comes first
            return [file.SerializeToString() for file in found]
        return None

    async def _found(self, service: str) -> Served:
        """Raises Unsupported where there is no such service, and why."""
        name = self._faces.name_of(service)
        if name is None:
            await self._faces.settled(SETTLING)
            name = self._faces.name_of(service)
        if name is None:
            raise Unsupported(f"no model, service or pipeline here is {service}{self._newer(service)}")
        try:
            served = await self._faces.of(name)
        except ModelNotFound:
            raise Unsupported(f"{service} is served no longer: '{name}' is gone") from None
        if served.face.full_service != service:
            raise Unsupported(f"{service} is served no longer: '{name}' is {served.face.full_service} now")
        if not served.numbered:
            raise RegistryUnavailable("the numbers of fields are in the mesh's documents, which cannot be read now")
        return served

    def _newer(self, service: str) -> str:
        """The same in another version of its package."""
        parts = service.split(".")
        near = [each for each in self._faces.served.value if each.split(".")[2:3] == parts[2:3]]
        return f"; there is {near[0]}" if near else ""

    async def _unary(self, service: str, path: str, serve: Serve, request: bytes, context: Any) -> bytes:
        router = self._router
        began, model, code = router.clock.now(), UNKNOWN_MODEL, StatusCode.OK
        try:
            with self._span(path, context) as span:
                served = await self._found(service)
                model = served.face.name
                made = await serve(served, request, context)
                if span is not None:
                    span.answered()
                return made
        except asyncio.CancelledError:
            code = StatusCode.CANCELLED
            raise
        except Exception as error:
            given = forwarded(context.invocation_metadata())
            code = router.failures.raised(error, began, model=model, method=path, metadata=given).code
            await abort(context, error, path)
            raise AssertionError from error  # abort always raises
        finally:
            router.metrics.finished(model, "", code, router.clock.now() - began)

    async def _predict(self, served: Served, request: bytes, context: Any) -> bytes:
        call = self._call(served, context)
        if served.face.typed:
            call = _typed(call, await off_loop(served.service_messages.read, request, len(request)))
            reply = await self._router(call)
            answer = typed_pb2.TypedResponse.FromString(reply.payload).json
            made = await off_loop(served.service_messages.write, answer, len(answer))
        else:
            call = request_call(call, served.face, await off_loop(served.messages.read, request, len(request)))
            reply = await self._router(call)
            made = await off_loop(served.messages.write, arrays_of(reply), len(reply.payload))
        await _tell(reply, context)
        return made

    async def _describe(self, served: Served, request: bytes, context: Any) -> bytes:
        model = self._router.pool.catalog.models.get(served.face.name)
        told = telling(served, model.versions if model is not None else ())
        return bytes(served.classes["DescribeResponse"](**told).SerializeToString())

    async def _stream(self, service: str, path: str, request: bytes, context: Any) -> AsyncIterator[bytes]:
        router = self._router
        began, model, code = router.clock.now(), UNKNOWN_MODEL, StatusCode.OK
        self._streams += 1
        try:
            served = await self._found(service)
            model = served.face.name
            if not served.face.predict.streams:
                raise Unsupported(f"'{model}' answers once: call Predict")
            with self._span(path, context) as span:
                call = self._call(served, context, unhurried=True)
                if served.face.typed:
                    answers = json_answers(router, _typed(call, served.service_messages.read(request)))
                    async for body in answers:
                        yield served.service_messages.write(body)
                else:
                    arrays = served.messages.read(request)
                    async for outputs in stream_arrays(router, request_call(call, served.face, arrays)):
                        yield served.messages.write(outputs)
                if span is not None:
                    span.answered()
        except asyncio.CancelledError:
            code = StatusCode.CANCELLED
            raise
        except GeneratorExit:
            code = StatusCode.CANCELLED
            raise
        except Exception as error:
            given = forwarded(context.invocation_metadata())
            code = router.failures.raised(error, began, model=model, method=path, metadata=given).code
            await abort(context, error, path)
        finally:
            self._streams -= 1
            router.metrics.finished(model, "", code, router.clock.now() - began)

    def _span(self, path: str, context: Any) -> Span | Nothing:
        tracing = self._router.tracing
        return tracing.server(path, forwarded(context.invocation_metadata())) if tracing.on else NOTHING

    def _call(self, served: Served, context: Any, *, unhurried: bool = False) -> Call:
        """Without its payload. A stream has no deadline unless the caller sets one."""
        name = served.face.name
        policy = self._router.policy(name)
        remaining = context.time_remaining()
        if remaining is None:
            remaining = math.inf if unhurried else policy.timeout
        elif not unhurried:
            remaining = min(remaining, policy.longest)
        deadline = self._router.clock.now() + remaining
        return Call(name, "", CALL.path, b"", forwarded(context.invocation_metadata()), deadline)


async def _tell(reply: Reply, context: Any) -> None:
    if reply.initial:
        await context.send_initial_metadata(reply.initial)
    if reply.trailing:
        context.set_trailing_metadata(reply.trailing)


def _typed(call: Call, body: bytes) -> Call:
    message = typed_pb2.TypedRequest(model_name=call.model, json=body)
    return call._replace(method=CALL.path, payload=message.SerializeToString())


def _folder(package: str) -> str:
    return f"{package.replace('.', '/')}/"


def _has(face: Any, symbol: str) -> bool:
    """Whether the face's file declares it: the package's services, messages, enums, and what is in them."""
    if symbol == face.package:
        return True
    first = symbol.removeprefix(f"{face.package}.").split(".")[0]
    names = {face.service, *(message.name for message in face.messages), *(enum.name for enum in face.enums)}
    values = {value for enum in face.enums for value in (enum.zero, *(name for name, _, _ in enum.values))}
    return first in names | values
