"""Calls by gRPC, good and bad, that the router and the edge must answer alike."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
from google.protobuf import text_format
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from inferloom.mesh.oip import SERVICE, pb
from inferloom.v1 import mesh_pb2, mesh_pb2_grpc
from tests.support.caller import EOF, echo_request, infer_request, slow_request, token_request

__all__ = ["CALLS", "Outcome", "plain"]

MIB = 1 << 20
TIMEOUT = 20.0  # seconds; of calls that are not about time


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a caller sees."""

    code: str
    message: str = ""
    answers: tuple[Any, ...] = ()
    reason: str = ""  # x-inferloom-reason, in the trailers


Call = Callable[[Any], Awaitable[Outcome]]  # given a stub


async def _unary(call: Any) -> Outcome:
    try:
        answer = await call
    except grpc.aio.AioRpcError as error:
        trailers: dict[str, Any] = dict(error.trailing_metadata() or ())  # type: ignore[arg-type]
        return Outcome(error.code().name, error.details() or "", (), str(trailers.get("x-inferloom-reason", "")))
    return Outcome("OK", "", (answer,))


def _infer(request: Any, **options: Any) -> Call:
    async def call(face: Any) -> Outcome:
        return await _unary(face.ModelInfer(request, **{"timeout": TIMEOUT, **options}))

    return call


def _method(name: str, request: Any) -> Call:
    async def call(face: Any) -> Outcome:
        return await _unary(getattr(face, name)(request, timeout=TIMEOUT))

    return call


def _raw(path: str, body: bytes, **options: Any) -> Call:
    """Bytes as they are."""

    async def call(face: Any) -> Outcome:
        return await _unary(
            face.channel.unary_unary(path, response_deserializer=pb.ModelInferResponse.FromString)(
                body, timeout=TIMEOUT, **options
            )
        )

    return call


def _stream(*requests: Any) -> Call:
    async def call(face: Any) -> Outcome:
        answers: list[Any] = []
        talk = face.ModelStreamInfer(iter(requests), timeout=TIMEOUT)
        try:
            while (answer := await talk.read()) is not EOF:
                answers.append((answer.error_message, answer.infer_response))
        except grpc.aio.AioRpcError as error:
            return Outcome(error.code().name, error.details() or "", tuple(answers))
        return Outcome("OK", "", tuple(answers))

    return call


def _health(service: str) -> Call:
    async def call(face: Any) -> Outcome:
        health: Any = health_pb2_grpc.HealthStub(face.channel)
        return await _unary(health.Check(health_pb2.HealthCheckRequest(service=service), timeout=TIMEOUT))

    return call


async def _reflection(face: Any) -> Outcome:
    reflection: Any = reflection_pb2_grpc.ServerReflectionStub(face.channel)
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    found = [answer async for answer in reflection.ServerReflectionInfo(iter([asked]), timeout=TIMEOUT)]
    return Outcome("OK", "", tuple(sorted(s.name for s in found[0].list_services_response.service)))


async def _models(face: Any) -> Outcome:
    mesh = mesh_pb2_grpc.MeshServiceStub(face.channel)  # type: ignore[no-untyped-call]
    answer = await mesh.ListModels(mesh_pb2.ListModelsRequest(), timeout=TIMEOUT)
    return Outcome("OK", "", tuple(sorted((m.name, tuple(sorted(r.id for r in m.replicas))) for m in answer.models)))


def _named(name: bytes) -> bytes:
    """A request whose model's name is any bytes."""
    request = echo_request(model="")
    assert len(name) < 0x4000
    size = bytes([len(name)]) if len(name) < 0x80 else bytes([0x80 | len(name) & 0x7F, len(name) >> 7])
    return b"\x0a" + size + name + bytes(request.SerializeToString())


def _changed(change: Callable[[Any], object]) -> Any:
    request = echo_request()
    change(request)
    return request


def _version(version: str, model: str = "echo") -> Any:
    request = echo_request(model=model)
    request.model_version = version
    return request


INFER = f"/{SERVICE}/ModelInfer"
WHOLE = {"sequence_id": 7, "sequence_start": True, "sequence_end": True}
TRICKS = (("x-inferloom-model", "versioned"), ("x-inferloom-version", "2"), ("x-inferloom-face", "rest"))
REGION = pb.SystemSharedMemoryRegisterRequest(name="x", key="/x")
LARGE = np.ones((1, 600 * 1024), np.float32)  # 2.4 MB
HUGE = infer_request("echo", x=np.ones((1, 17 * MIB), np.float32))  # 68 MiB

CALLS: dict[str, Call] = {
    "an answer": _infer(echo_request()),
    "an id and parameters": _infer(echo_request(request_id="seven", parameters={"a": "b", "n": 3, "yes": True})),
    "a version that is served": _infer(_version("1")),
    "several versions, none named": _infer(echo_request(model="versioned")),
    "the first of several versions": _infer(_version("1", "versioned")),
    "the second of several versions": _infer(_version("2", "versioned")),
    "no such version": _infer(_version("9")),
    "no such version of several": _infer(_version("9", "versioned")),
    "a version that is no number": _infer(_version("one")),
    "a large tensor": _infer(infer_request("echo", x=LARGE)),
    "a compressed request": _infer(echo_request(), compression=grpc.Compression.Gzip),
    "a sequence": _infer(infer_request("sequence", parameters=WHOLE, x=[[4.0]])),
    "metadata of the caller": _infer(echo_request(), metadata=(("user", "ann"),)),
    "headers that look like the edge's own": _infer(echo_request(), metadata=TRICKS),
    "the control plane's cluster as a model": _infer(echo_request(), metadata=(("x-inferloom-model", "control"),)),
    "a deadline that passes": _infer(slow_request(5.0, 1), timeout=0.3),
    "no such model": _infer(echo_request(model="ecko")),
    "a model's name in other letters": _infer(echo_request(model="ECHO")),
    "the name of a cluster": _infer(echo_request(model="mesh-router")),
    "the name of a model's cluster": _infer(echo_request(model="model/echo")),
    "no name": _infer(echo_request(model="")),
    "a dash for a name": _infer(echo_request(model="-")),
    "an asterisk for a name": _infer(echo_request(model="*")),
    "a name of 300 bytes": _raw(INFER, _named(b"n" * 300)),
    "a name with a newline": _raw(INFER, _named(b"ec\nho")),
    "a name with a zero": _raw(INFER, _named(b"echo\0")),
    "a name in another script": _infer(echo_request(model="эхо")),
    "a name that is no UTF-8": _raw(INFER, _named(b"\xff\xfe")),
    "two names, the last counts": _raw(INFER, bytes(echo_request(model="nobody").SerializeToString()) + b"\x0a\x04echo"),
    "two names, the last is nobody's": _raw(INFER, bytes(echo_request().SerializeToString()) + b"\x0a\x06nobody"),
    "no message at all": _raw(INFER, b""),
    "bytes that are no message": _raw(INFER, b"\xff\xff\xff\xff"),
    "a message that is cut off": _raw(INFER, bytes(echo_request().SerializeToString())[:-3]),
    "an input that is missing": _infer(_changed(lambda r: (r.ClearField("inputs"), r.ClearField("raw_input_contents")))),
    "an input of another name": _infer(infer_request("echo", z=[[1.0]])),
    "an input of another type": _infer(infer_request("echo", x=np.ones((1, 2), np.int32))),
    "an input of another rank": _infer(infer_request("echo", x=np.ones((1, 2, 3), np.float32))),
    "an unknown type": _infer(_changed(lambda r: setattr(r.inputs[0], "datatype", "FP33"))),
    "an unknown output": _infer(_changed(lambda r: r.outputs.add(name="nothing"))),
    "more than a message may have": _infer(HUGE),
    "live": _method("ServerLive", pb.ServerLiveRequest()),
    "ready": _method("ServerReady", pb.ServerReadyRequest()),
    "a model that is ready": _method("ModelReady", pb.ModelReadyRequest(name="echo")),
    "a model that is not there is not ready": _method("ModelReady", pb.ModelReadyRequest(name="nobody")),
    "metadata of the server": _method("ServerMetadata", pb.ServerMetadataRequest()),
    "metadata of a model": _method("ModelMetadata", pb.ModelMetadataRequest(name="echo")),
    "metadata of no model": _method("ModelMetadata", pb.ModelMetadataRequest(name="Versiond")),
    "configuration of a model": _method("ModelConfig", pb.ModelConfigRequest(name="tokens")),
    "statistics of no model": _method("ModelStatistics", pb.ModelStatisticsRequest(name="nobody")),
    "the index of the repository": _method("RepositoryIndex", pb.RepositoryIndexRequest()),
    "loading a model is forbidden": _method("RepositoryModelLoad", pb.RepositoryModelLoadRequest(model_name="echo")),
    "unloading a model is forbidden": _method("RepositoryModelUnload", pb.RepositoryModelUnloadRequest(model_name="echo")),
    "shared memory is forbidden": _method("SystemSharedMemoryRegister", REGION),
    "memory of a GPU is forbidden": _method("CudaSharedMemoryStatus", pb.CudaSharedMemoryStatusRequest()),
    "changing the tracing is forbidden": _method("TraceSetting", pb.TraceSettingRequest()),
    "changing the log is forbidden": _method("LogSettings", pb.LogSettingsRequest()),
    "no such method": _raw(f"/{SERVICE}/Nothing", b""),
    "no such service": _raw("/nobody.Nothing/Nothing", b""),
    "a stream": _stream(token_request(3, request_id="a")),
    "a stream of several requests": _stream(token_request(2, request_id="a"), token_request(1, request_id="b")),
    "a stream of no model": _stream(infer_request("nobody", x=[[1.0]])),
    "a stream of a wrong request": _stream(infer_request("tokens", z=[[1.0]])),
    "a stream of a model with versions": _stream(echo_request(model="versioned")),
    "a stream with no message": _stream(),
    "health of all": _health(""),
    "health of a model": _health("echo"),
    "health of nobody": _health("nobody"),
    "reflection": _reflection,
    "the list of models": _models,
}  # fmt: skip


FORWARDED = ("x-envoy-", "x-forwarded-", "x-inferloom-", "x-request-id")  # headers that an edge adds or writes anew


def plain(outcome: Outcome) -> Outcome:
    """To be compared: without the headers that edges add, which `echo` tells of, and large answers by their length alone."""
    return Outcome(outcome.code, outcome.message, tuple(_plain(each) for each in outcome.answers), outcome.reason)


def _plain(answer: Any) -> Any:
    if isinstance(answer, pb.ModelInferResponse):
        for output, raw in zip(answer.outputs, answer.raw_output_contents, strict=True):
            if output.name == "parameters":  # BYTES: each element behind its length
                found = json.loads(raw[4:])
                kept = {key: value for key, value in found.items() if not key.startswith(FORWARDED)}
                output.parameters["found"].string_param = json.dumps(kept, sort_keys=True)
        del answer.raw_output_contents[1:]
    if hasattr(answer, "SerializeToString"):
        return text_format.MessageToString(answer)
    return answer
