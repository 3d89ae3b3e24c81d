"""Which requests of browsers are let in.

A page of any site can make the reader's browser send requests to 127.0.0.1, and by DNS rebinding (its own name pointed
at 127.0.0.1) even read the answers. So:

    bound to loopback     the Host header must be a loopback name, the one thing that rebinding cannot forge
    Origin                where a browser sends one, it must be this server's own, or one that was allowed
    Sec-Fetch-Site        "cross-site" is refused where the browser sent no Origin

Programs send none of these and are not hindered.

Where there are tokens, every request needs one, whoever sends it. It goes no further than here.
"""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from inferloom.mesh.errors import Forbidden, Unauthenticated
from inferloom.mesh.listen import Address
from inferloom.mesh.router.security import Tokens

__all__ = ["Guard"]

_READS = frozenset({"GET", "HEAD", "OPTIONS"})


class Guard:
    """Decides before a request is looked at.

    Args:
        address: listened on.
        origins: of pages that may write besides this server's own, "https://app.example".
        tokens: one of which is needed; empty: none.
    """

    def __init__(self, address: Address, origins: Collection[str] = (), tokens: Collection[str] = ()) -> None:
        self._address = address
        self._origins = frozenset(origins)
        self._tokens = Tokens(tokens)

    def let_in(self, request: web.Request) -> web.Request:
        """The request, less its token. Raises Forbidden, Unauthenticated."""
        self._check(request)
        if not self._tokens:
            return request
        if not self._tokens.has(request.headers.get(hdrs.AUTHORIZATION, "")):
            raise Unauthenticated("this mesh needs a token: send the header 'Authorization: Bearer TOKEN'")
        headers = request.headers.copy()
        del headers[hdrs.AUTHORIZATION]
        return request.clone(headers=headers)

    def _check(self, request: web.Request) -> None:
        host = _host(request.host)
        if self._address.loopback and not _is_loopback(host):
            raise Forbidden(
                f"Host {request.host!r}: this server listens on {self._address.host} and answers to localhost only"
            )
        if request.method in _READS:
            return
        origin = request.headers.get("Origin")
        if origin is None:
            if request.headers.get("Sec-Fetch-Site") == "cross-site":
                raise Forbidden("a page of another site may not call this server")
        elif origin not in self._origins and urlsplit(origin).netloc.lower() != request.host.lower():
            raise Forbidden(f"Origin {origin!r}: a page of another site may not call this server")


def _host(text: str) -> str:
    try:
        return urlsplit(f"//{text}").hostname or ""
    except ValueError:
        return ""


def _is_loopback(host: str) -> bool:
    return host.endswith(".localhost") or Address(host, 0).loopback
