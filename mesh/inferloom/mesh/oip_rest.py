"""The Open Inference Protocol v2 over REST, with Triton's extensions: the table of its paths.

Who answers each is said as for gRPC (mesh/oip.py), by its twin there. Paths that are not in the table are nobody's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import unquote

from inferloom.mesh.oip import METHODS, SERVICE, Kind, Method

__all__ = ["PREFIX", "REST", "Found", "RestMethod", "find", "refusal"]

PREFIX = "/v2"
_NAME, _VERSION = r"(?P<name>[^/]+)", r"(?P<version>[^/]+)"
_MODEL = rf"/v2/models/{_NAME}(?:/versions/{_VERSION})?"
_REGION = r"(?:/region/(?P<region>[^/]+))?"
_REPOSITORY = r"/v2/repository(?:/(?P<repository>[^/]+))?"


@dataclass(frozen=True)
class RestMethod:
    """One path.

    Attributes:
        name: what is done, unique: "infer", "generate_stream".
        verbs: HTTP methods that it takes; HEAD goes with GET.
        pattern: of the whole path, in RE2's syntax too; groups `name` and `version` as they are written there
            (percent-encoded).
        twin: the gRPC method that does the same; None: there is none.
        kind: who answers.
    """

    name: str
    verbs: tuple[str, ...]
    pattern: str
    kind: Kind
    twin: Method | None = None

    @cached_property
    def regex(self) -> re.Pattern[str]:
        return re.compile(self.pattern, re.ASCII)

    @property
    def direct(self) -> bool:
        """Whether one replica answers it alone, so that an edge may send it there itself."""
        return self.kind in (Kind.REPLICA, Kind.STREAM) and "POST" in self.verbs


@dataclass(frozen=True, slots=True)
class Found:
    """A path that was understood: percent-encoding is taken off the names."""

    method: RestMethod
    model: str = ""  # "": it names none
    version: str = ""


def _row(name: str, verbs: str, pattern: str, twin: str, kind: Kind | None = None) -> RestMethod:
    method = METHODS.get(f"/{SERVICE}/{twin}")
    assert kind is not None or method is not None, twin
    return RestMethod(name, tuple(verbs.split()), pattern, kind or method.kind, method)  # type: ignore[union-attr]


REST: tuple[RestMethod, ...] = (
    _row("live", "GET", r"/v2/health/live", "ServerLive"),
    _row("ready", "GET", r"/v2/health/ready", "ServerReady"),
    _row("server", "GET", r"/v2/?", "ServerMetadata"),
    _row("statistics", "GET", r"/v2/models/stats", "ModelStatistics"),  # of all models; before a model of that name
    _row("model", "GET", _MODEL, "ModelMetadata"),
    _row("model ready", "GET", rf"{_MODEL}/ready", "ModelReady"),
    _row("config", "GET", rf"{_MODEL}/config", "ModelConfig"),
    _row("model statistics", "GET", rf"{_MODEL}/stats", "ModelStatistics"),
    _row("infer", "POST", rf"{_MODEL}/infer", "ModelInfer"),
    _row("generate", "POST", rf"{_MODEL}/generate", "", Kind.REPLICA),
    _row("generate_stream", "POST", rf"{_MODEL}/generate_stream", "", Kind.STREAM),
    _row("index", "POST", rf"{_REPOSITORY}/index", "RepositoryIndex"),
    _row("load", "POST", rf"{_REPOSITORY}/models/{_NAME}/load", "RepositoryModelLoad"),
    _row("unload", "POST", rf"{_REPOSITORY}/models/{_NAME}/unload", "RepositoryModelUnload"),
    _row("shared memory status", "GET", rf"/v2/systemsharedmemory{_REGION}/status", "SystemSharedMemoryStatus"),
    _row("shared memory register", "POST", rf"/v2/systemsharedmemory{_REGION}/register", "SystemSharedMemoryRegister"),
    _row(
        "shared memory unregister",
        "POST",
        rf"/v2/systemsharedmemory{_REGION}/unregister",
        "SystemSharedMemoryUnregister",
    ),
    _row("CUDA memory status", "GET", rf"/v2/cudasharedmemory{_REGION}/status", "CudaSharedMemoryStatus"),
    _row("CUDA memory register", "POST", rf"/v2/cudasharedmemory{_REGION}/register", "CudaSharedMemoryRegister"),
    _row("CUDA memory unregister", "POST", rf"/v2/cudasharedmemory{_REGION}/unregister", "CudaSharedMemoryUnregister"),
    _row("trace", "GET POST", rf"/v2(?:/models/{_NAME})?/trace/setting", "TraceSetting"),
    _row("logging", "GET POST", r"/v2/logging", "LogSettings"),
)


def find(path: str, methods: Iterable[RestMethod] = REST) -> Found | None:
    """What a path asks for, without its query; None where it is none of the protocol."""
    for method in methods:
        match = method.regex.fullmatch(path)
        if match is not None:
            groups = match.groupdict()
            return Found(method, unquote(groups.get("name") or ""), unquote(groups.get("version") or ""))
    return None


def refusal(method: Method) -> str:
    """What a forbidden call is told, over gRPC and over REST."""
    return f"{method.name} is not passed on by the mesh: it would change one replica behind the others' backs"
