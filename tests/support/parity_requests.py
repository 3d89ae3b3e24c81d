"""Requests by HTTP, good and bad, that the router and the edge must answer alike."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import numpy as np
from yarl import URL

__all__ = ["REQUESTS", "Request", "ask"]

JSON = {"content-type": "application/json"}
X = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [[1.0, 2.0]]}]}


def _binary() -> tuple[bytes, Mapping[str, str]]:
    data = np.array([[1.0, 2.0]], np.float32).tobytes()
    head = {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": len(data)}}],
        "outputs": [{"name": "y", "parameters": {"binary_data": True}}],
    }
    text = json.dumps(head).encode()
    return text + data, {"inference-header-content-length": str(len(text)), "content-type": "application/octet-stream"}


@dataclass(frozen=True, slots=True)
class Request:
    verb: str
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] | None = None


def get(path: str) -> Request:
    return Request("GET", path)


def post(path: str, value: Any = None, headers: Mapping[str, str] = JSON) -> Request:
    return Request("POST", path, value if isinstance(value, bytes) else json.dumps(value).encode(), headers)


REQUESTS = {
    "live": get("/v2/health/live"),
    "ready": get("/v2/health/ready"),
    "the server": get("/v2"),
    "a model": get("/v2/models/echo"),
    "a version of a model": get("/v2/models/versioned/versions/2"),
    "a model's configuration": get("/v2/models/echo/config"),
    "a model is ready": get("/v2/models/echo/ready"),
    "no model is ready": get("/v2/models/nobody/ready"),
    "no model": get("/v2/models/ecko"),
    "inference": post("/v2/models/echo/infer", X),
    "inference with an id": post("/v2/models/echo/infer", {**X, "id": "seven"}),
    "binary inference": post("/v2/models/echo/infer", *_binary()),
    "the first of several versions": post("/v2/models/versioned/versions/1/infer", X),
    "the second of several versions": post("/v2/models/versioned/versions/2/infer", X),
    "several versions, none named": post("/v2/models/versioned/infer", X),
    "no such version": post("/v2/models/echo/versions/9/infer", X),
    "no such model": post("/v2/models/ecko/infer", X),
    "a name in other letters": post("/v2/models/ECHO/infer", X),
    "a name that is percent-encoded": post("/v2/models/ech%6F/infer", X),
    "a slash in a name": post("/v2/models/ec%2Fho/infer", X),
    "a path that climbs": post("/v2/models/../models/echo/infer", X),
    "text that is no JSON": post("/v2/models/echo/infer", b"{"),
    "no inputs": post("/v2/models/echo/infer", {"inputs": []}),
    "an input of another name": post("/v2/models/echo/infer", {"inputs": [{**X["inputs"][0], "name": "z"}]}),
    "an input of another type": post("/v2/models/echo/infer", {"inputs": [{**X["inputs"][0], "datatype": "INT64"}]}),
    "an input of another shape": post("/v2/models/echo/infer", {"inputs": [{**X["inputs"][0], "shape": [1, 3]}]}),
    "inference by GET": get("/v2/models/echo/infer"),
    "the index of the repository": post("/v2/repository/index", {}),
    "loading a model is forbidden": post("/v2/repository/models/echo/load", {}),
    "unloading a model is forbidden": post("/v2/repository/models/echo/unload", {}),
    "shared memory is forbidden": post("/v2/systemsharedmemory/region/x/register", {"key": "/x", "byte_size": 8}),
    "the log is forbidden": post("/v2/logging", {}),
    "tracing is forbidden": post("/v2/trace/setting", {}),
    "no such path": get("/v2/nothing"),
    "nothing at all": get("/nothing"),
    "JSON of no service": post("/v1/nobody", {}),
    "the description of all": get("/openapi.json"),
    "its page": get("/docs"),
}


async def ask(session: aiohttp.ClientSession, address: str, request: Request) -> tuple[int, str, Any]:
    """Status, content type, body (parsed where it is JSON)."""
    url = f"http://{address}{request.path}"
    async with session.request(
        request.verb, URL(url, encoded=True), data=request.body, headers=request.headers
    ) as answer:
        body = await answer.read()
        kind = answer.headers.get("content-type", "").partition(";")[0]
        value: Any = body
        if kind == "application/json" and body:
            value = json.loads(body)
        if isinstance(value, list):  # the repository's index has no order
            value = sorted(value, key=str)
        return answer.status, kind, value
