"""A model's virtual host: which requests go to its replicas, for how long, and how often.

The Lua filter has found the name and written it into x-inferloom-model, by which the virtual host is chosen. That choice
ignores case, so every route wants the name itself; what matches none goes to the router.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from envoy_data_plane.envoy.config.core.v3 import Metadata
from envoy_data_plane.envoy.config.route.v3 import (
    HeaderMatcher,
    RetryPolicy,
    Route,
    RouteAction,
    RouteActionHashPolicy,
    RouteActionHashPolicyHeader,
    RouteActionMaxStreamDuration,
    RouteMatch,
)
from envoy_data_plane.envoy.type.matcher.v3 import RegexMatcher

from inferloom.mesh.catalog import Kind
from inferloom.mesh.oip import CALL, MODEL_INFER, MODEL_STREAM_INFER, TYPED
from inferloom.mesh.policy import TrafficPolicy
from inferloom.mesh.xds.default_routes import default_routes
from inferloom.mesh.xds.encoding import field
from inferloom.mesh.xds.messages import OFF, duration, header_is
from inferloom.mesh.xds.retries import again, unbegun
from inferloom.mesh.xds.route_metadata import of_host, of_route
from inferloom.mesh.xds.serving import Serving
from inferloom.mesh.xds.types import MODEL_HEADER, STREAM, VERSION_HEADER, model_cluster, rest_cluster

__all__ = ["virtual_host"]

# Numbers of fields.
HOST_NAME, HOST_DOMAINS, HOST_ROUTES = 1, 2, 3  # of VirtualHost
HOST_METADATA = 24
MATCH, ACTION, METADATA, ROUTE_NAME = 1, 2, 4, 14  # of Route
CLUSTER = 1  # of RouteAction
UNVERSIONED = HeaderMatcher(name=VERSION_HEADER, present_match=False)
CALL_STREAM = f"/{TYPED}/CallStream"
MODEL_PATH = r"/v2/models/[^/]+(/versions/[^/]+)?"
REST_UNARY = MODEL_PATH + "/(infer|generate)"
REST_STREAM = MODEL_PATH + "/generate_stream"


@dataclass(frozen=True, slots=True)
class _Form:
    """One way of asking a model."""

    path: str = ""  # the whole path ...
    pattern: str = ""  # ... or a regular expression of it
    rest: bool = False
    stream: bool = False
    versioned: bool = True  # whether the filter reads which version it names

    def match(self, headers: list[HeaderMatcher]) -> RouteMatch:
        if self.path:
            return RouteMatch(path=self.path, headers=headers)
        return RouteMatch(safe_regex=RegexMatcher(regex=self.pattern), headers=headers)


_TENSORS = (_Form(MODEL_INFER.path), _Form(MODEL_STREAM_INFER.path, stream=True, versioned=False))
_TYPED = (
    _Form(CALL.path),
    _Form(CALL_STREAM, stream=True),
)  # asked of hosts; a Triton has no such service
_REST = (_Form(pattern=REST_UNARY, rest=True), _Form(pattern=REST_STREAM, rest=True, stream=True))


def virtual_host(
    name: str, kind: Kind, serving: Serving, policy: TrafficPolicy, spec: Mapping[str, Any] | None, body_limit: int
) -> bytes:
    """The virtual host of a model, encoded.

    Args:
        spec: of its split, as `split_spec` gives it.
        body_limit: bytes that may be held of a request: the largest that is read for its name, and that can be retried.
    """
    forms = _TENSORS + (_TYPED if kind is not Kind.MODEL else ()) + _REST
    said = _said(METADATA, of_route(serving, name, spec))
    parts = [field(HOST_NAME, name.encode()), field(HOST_DOMAINS, name.encode())]
    for form in forms:
        for version, wanted in _versions(serving, form):
            if form.rest and not any(replica.http_port for replica in serving.with_version(version)):
                continue
            headers = [header_is(MODEL_HEADER, name), *wanted]
            cluster = rest_cluster(name, version) if form.rest else model_cluster(name, version)
            match = field(MATCH, bytes(form.match(headers)))
            action = field(ACTION, field(CLUSTER, cluster.encode()) + _rules(form, policy))
            own = said if wanted == [UNVERSIONED] else b""
            named = field(ROUTE_NAME, STREAM.encode()) if form.stream else b""
            parts.append(field(HOST_ROUTES, match + action + _around(body_limit) + named + own))
    return b"".join((*parts, _default(body_limit), _said(HOST_METADATA, of_host(spec))))


def _said(number: int, metadata: Metadata | None) -> bytes:
    return field(number, bytes(metadata)) if metadata is not None else b""


@lru_cache(maxsize=8)
def _around(body_limit: int) -> bytes:
    """What every route of a model has: the mesh's token is nothing for replicas."""
    return bytes(Route(request_body_buffer_limit=body_limit, request_headers_to_remove=["authorization"]))


@lru_cache(maxsize=8)
def _default(body_limit: int) -> bytes:
    return b"".join(field(HOST_ROUTES, bytes(route)) for route in default_routes(body_limit))


def _versions(serving: Serving, form: _Form) -> Iterator[tuple[str, list[HeaderMatcher]]]:
    """(version whose cluster is asked, what the version's header must be): requests without a version first, for they are
    most. A version that is named and not served matches none: the router refuses it."""
    yield "", [UNVERSIONED]
    if not form.versioned:
        return
    for version in sorted(serving.own):
        yield version, [header_is(VERSION_HEADER, version)]
    for version in sorted(serving.versions - serving.own):
        yield "", [header_is(VERSION_HEADER, version)]


@lru_cache(maxsize=1024)
def _rules(form: _Form, policy: TrafficPolicy) -> bytes:
    """The encoded RouteAction less its cluster."""
    action = RouteAction(timeout=OFF)
    if form.stream:
        # Its idle time alone; a caller that sets grpc-timeout bounds it, uncut.
        action.max_stream_duration = RouteActionMaxStreamDuration(max_stream_duration=OFF, grpc_timeout_header_max=OFF)
        action.idle_timeout = duration(policy.stream_idle)
        action.retry_policy = unbegun(policy)
    else:
        action.max_stream_duration = RouteActionMaxStreamDuration(
            max_stream_duration=duration(policy.timeout),
            grpc_timeout_header_max=duration(policy.longest),
        )
        action.idle_timeout = OFF  # what the duration bounds may be silent: a model thinks
        action.retry_policy = _per_try(again(policy, rest=form.rest), policy)
    if policy.affinity:
        header = RouteActionHashPolicyHeader(header_name=policy.affinity)
        action.hash_policy = [RouteActionHashPolicy(header=header)]
    return bytes(action)


def _per_try(retries: RetryPolicy | None, policy: TrafficPolicy) -> RetryPolicy | None:
    """`attempt_timeout` bounds a lone try as well."""
    if policy.attempt_timeout is None:
        return retries
    retries = retries if retries is not None else RetryPolicy(num_retries=0)
    retries.per_try_timeout = duration(policy.attempt_timeout)
    return retries
