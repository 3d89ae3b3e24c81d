"""The Lua of the edge's data path: files of the folder lua/ joined into one source, with the tables they need.

    settings  written here: methods, paths, texts of refusals, tokens, bounds
    answers   what the edge answers itself
    sha256
    guard     tokens and browsers
    split     the arm function
    walk      what a message names
    aim       which replicas, and what is written into the request
    grpc, rest, main

Each file is one Lua function whose result is kept under the file's name, and it sees those before it; frames.lua alone is the
source of a filter of its own (http_filters.py). Nothing of a request ever becomes Lua source; what comes from settings is
quoted byte by byte.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from itertools import product
from urllib.parse import quote

from inferloom.mesh.oip import CALL, METHODS, MODEL_INFER, MODEL_STREAM_INFER, TYPED, Kind, Method
from inferloom.mesh.oip_rest import REST, refusal
from inferloom.mesh.router.security import OPEN
from inferloom.mesh.wire import MOST_FIELDS
from inferloom.mesh.xds.edge_settings import EdgeSettings
from inferloom.mesh.xds.exposures import ASKED, KEY, NAMESPACE
from inferloom.mesh.xds.types import ARM_HEADER, FACE_HEADER, MODEL_HEADER, VERSION_HEADER

__all__ = ["frames", "literal", "patterns", "source"]

FILES = ("answers", "sha256", "guard", "split", "walk", "aim", "grpc", "rest", "main")
CALL_STREAM = f"/{TYPED}/CallStream"
LARGE = 4 << 20  # bytes: writing a message anew copies it, in a worker that serves others meanwhile
MALFORMED = "the request is no message of the Open Inference Protocol: its bytes do not parse"
UNKNOWN_GRPC = "this mesh needs a token: send the metadata 'authorization: Bearer TOKEN'"
UNKNOWN_HTTP = "this mesh needs a token: send the header 'Authorization: Bearer TOKEN'"

Value = str | int | bool | Mapping[str, "Value"] | list["Value"]


def source(settings: EdgeSettings, entry: str = "request") -> str:
    """The source for envoy.filters.http.lua: it defines `envoy_on_request`.

    Args:
        entry: "infer" for the route of ModelInfer, "request" for all others.
    """
    parts = [f"local settings = {literal(_settings(settings))}"]
    parts += [f"local {name} = (function()\n{_file(name)}\nend)()" for name in FILES]
    return "\n\n".join([*parts, f"envoy_on_request = main.{entry}", ""])


def frames() -> str:
    """The source for the filter before the one that reads the name of a stream's model."""
    return _file("frames") + "\n"


def literal(value: Value) -> str:
    """A value as Lua writes it. Strings are printable ASCII and escapes, whatever is in them."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return (
            '"' + "".join(chr(b) if 0x20 <= b < 0x7F and b not in b'"\\' else f"\\{b:03}" for b in value.encode()) + '"'
        )
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"[{literal(key)}] = {literal(each)}" for key, each in value.items()) + "}"
    return "{" + ", ".join(map(literal, value)) + "}"


def _settings(settings: EdgeSettings) -> dict[str, Value]:
    return {
        "model": MODEL_HEADER,
        "version": VERSION_HEADER,
        "face": FACE_HEADER,
        "arm": ARM_HEADER,
        "exposed": NAMESPACE,
        "turn": KEY,
        "asked": ASKED,
        "most": settings.max_message,
        "large": LARGE,
        "loopback": settings.listen.loopback,
        "host": settings.listen.host,
        "guarded": bool(settings.tokens),
        "tokens": {sha256(f"Bearer {token}".encode()).hexdigest(): True for token in settings.tokens},
        "open": OPEN,
        "unknown_grpc": _grpc_text(UNKNOWN_GRPC),
        "unknown_http": UNKNOWN_HTTP,
        "malformed": _grpc_text(MALFORMED),
        "many": _grpc_text(f"the request has more than {MOST_FIELDS} fields"),
        "methods": {
            MODEL_INFER.path: _fields(MODEL_INFER) | {"infer": True},
            CALL.path: _fields(CALL),
            CALL_STREAM: _fields(CALL) | {"stream": True},
        },
        "infer": MODEL_INFER.path,
        "stream": MODEL_STREAM_INFER.path,
        "refused": {
            path: _grpc_text(refusal(method)) for path, method in METHODS.items() if method.kind is Kind.FORBIDDEN
        },
        "forbidden": [
            {"pattern": pattern, "verbs": dict.fromkeys(_verbs(each.verbs), True), "message": refusal(each.twin)}
            for each in REST
            if each.kind is Kind.FORBIDDEN and each.twin is not None
            for pattern in patterns(each.pattern)
        ],
    }


def _fields(method: Method) -> dict[str, Value]:
    return {"name": method.name_field, "version": method.version_field}


def _grpc_text(text: str) -> str:
    """As `grpc-message` is sent: percent-encoded where it is no printable ASCII."""
    return quote(text, safe="".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%"))


def _verbs(verbs: tuple[str, ...]) -> tuple[str, ...]:
    return (*verbs, "HEAD") if "GET" in verbs else verbs


def patterns(regex: str) -> list[str]:
    """Lua's patterns for a path of the table in oip_rest.py: one for each choice of its optional parts."""
    plain = re.sub(r"\(\?P<\w+>\[\^/\]\+\)", "[^/]+", regex)
    pieces = re.split(r"\(\?:(.*?)\)\?", plain)  # fixed and optional parts in turn
    choices = [(piece,) if number % 2 == 0 else ("", piece) for number, piece in enumerate(pieces)]
    found = ["".join(choice) for choice in product(*choices)]
    for pattern in found:
        if not re.fullmatch(r"(?:[\w/]|\[\^/\]\+)*", pattern):
            raise ValueError(f"{regex} cannot be written as a pattern of Lua's")
    return [f"^{pattern}$" for pattern in found]


@lru_cache
def _file(name: str) -> str:
    return files("inferloom.mesh.xds").joinpath("lua", f"{name}.lua").read_text("utf-8").strip()
