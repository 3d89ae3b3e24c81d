"""The page /docs: made here, with nothing from other hosts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.resources import files

from aiohttp import web

__all__ = ["add_to"]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
_FILES = {
    "/docs": ("docs.html", "text/html"),
    "/docs/docs.js": ("docs.js", "text/javascript"),
    "/docs/docs.css": ("docs.css", "text/css"),
}


def add_to(app: web.Application) -> None:
    """Add its routes."""
    for path, (name, kind) in _FILES.items():
        app.router.add_get(path, _serve(files(__name__).joinpath(name).read_text("utf-8"), kind))


def _serve(text: str, kind: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def get(request: web.Request) -> web.StreamResponse:
        return web.Response(text=text, content_type=kind, headers=HEADERS)

    return get
