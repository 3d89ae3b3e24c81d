"""One request of an edge as an explanation, from the entry of Envoy's access log.

Time in each layer of a router, and replicas that were passed over and why, are not in it: nothing is told of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from inferloom.mesh.catalog import Catalog
from inferloom.mesh.explain.explainer import LONGEST
from inferloom.mesh.explain.recent import Told
from inferloom.mesh.explain.story import ID_KEY, LEFT
from inferloom.mesh.split import Arm, Split
from inferloom.mesh.telemetry.metrics import UNKNOWN_MODEL
from inferloom.mesh.xds.edge_tries import FLAGS, Tried, course, tag
from inferloom.mesh.xds.exposures import ASKED, KEY, NAMESPACE, STATUS
from inferloom.mesh.xds.outcome import outcome
from inferloom.mesh.xds.response_flags import GONE, UNSEEN, in_words
from inferloom.mesh.xds.types import MODEL_CLUSTERS, REST_CLUSTERS, STREAM, VERSION_HEADER

__all__ = ["story_of"]


def story_of(entry: Any, catalog: Catalog, splits: Mapping[str, Split]) -> Told | None:
    """What is told of it, but for an id where it has none and for what is slow; None: another process tells it, or nobody.

    Args:
        entry: of a StreamAccessLogsMessage.
        splits: those in force, by model: the version of an arm is not in the entry.
    """
    common, response = entry.common, entry.response
    kind, _, target = common.upstream_cluster.partition("/")
    target, _, version = target.partition("@")
    flags = _flags(common)
    if kind not in (MODEL_CLUSTERS, REST_CLUSTERS):
        if not flags & set(UNSEEN):
            return None  # the router has seen it
        target = UNKNOWN_MODEL
    headers = {**_texts(response.headers), **_texts(response.trailers)}
    code = _code(headers, response.code.value, flags, rest=kind == REST_CLUSTERS)
    if common.route_name == STREAM and code in ("OK", "CANCELLED"):
        return None  # a stream lasts as long as its caller wants
    split = _split(common)
    ms = common.duration.ToNanoseconds() / 1e6
    told: Told = {
        "request_id": entry.request.request_id or split.get("request_id", "") or headers.get(ID_KEY, ""),
        "model": split.get("split", target),
        "method": _method(entry.request),
        "code": code,
        "kind": "slow" if code == "OK" else "failed",
        "time": round(common.start_time.ToNanoseconds() / 1e9, 6),
        "ms": round(ms, 3),
    }
    if code != "OK":
        told["message"] = _message(code, headers, flags, response.code.value)[:LONGEST]
    sent = _texts(entry.request.headers)
    parent = sent.get("traceparent", "").split("-")
    if len(parent) == 4 and len(parent[1]) == 32:
        told["trace_id"] = parent[1]
    if "arm" in split:
        told |= {"split": split["split"], "arm": split["arm"]}
    arm = next((arm for arm in _arms(splits, split) if arm.name == split["arm"]), None)
    version = version or sent.get(VERSION_HEADER, "") or (arm.target_version if arm is not None else "")
    known = Tried(common, catalog.models.get(target), version)
    return told | course(common, code, flags, known)


def _flags(common: Any) -> set[str]:
    return set(tag(common, FLAGS).split(",")) - {"-", ""}


def _code(headers: Mapping[str, str], http: int, flags: set[str], *, rest: bool) -> str:
    status, gone = "" if rest else headers.get(STATUS, ""), bool(flags & GONE)
    if not rest and not status and not gone and http == 200:
        return "UNKNOWN"  # an answer over gRPC that broke off
    return outcome(status, http, gone=gone)


def _message(code: str, headers: Mapping[str, str], flags: set[str], http: int) -> str:
    """Of the error; of an answer over HTTP nothing but its status is known."""
    said = unquote(headers.get("grpc-message", ""))
    return (
        said
        or in_words(sorted(flags))
        or (LEFT if code == "CANCELLED" else f"HTTP status {http}; the answer's body is not kept")
    )


def _method(request: Any) -> str:
    path: str = (request.original_path or request.path).partition("?")[0]
    return path.rpartition("/")[2][:LONGEST]


def _split(common: Any) -> dict[str, str]:
    """What the Lua filter has noted of a split (exposures.py)."""
    noted = {each.key: each.value for each in common.metadata.filter_metadata}.get(NAMESPACE)
    if noted is None:
        return {}
    asked = {"split": noted.fields[ASKED].string_value} if ASKED in noted.fields else {}
    parts = noted.fields[KEY].string_value.split("\t") if KEY in noted.fields else []
    if len(parts) != 7:
        return asked
    return {"split": parts[0], "arm": parts[2] or parts[1], "request_id": unquote(parts[6])}


def _arms(splits: Mapping[str, Split], noted: Mapping[str, str]) -> Sequence[Arm]:
    return splits[noted["split"]].arms if "arm" in noted and noted["split"] in splits else ()


def _texts(entries: Sequence[Any]) -> dict[str, str]:
    return {each.key: each.value for each in entries}
