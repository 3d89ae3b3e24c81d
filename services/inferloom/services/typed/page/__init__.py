"""The page /docs: Swagger UI, whose files lie here (scripts/vendor-swagger-ui). Nothing comes from other hosts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.resources import files

from aiohttp import web

__all__ = ["add_to"]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
_FILES = {
    "/docs": ("docs.html", "text/html"),
    "/docs/docs.js": ("docs.js", "text/javascript"),
    "/docs/docs.css": ("docs.css", "text/css"),
    "/docs/swagger-ui-bundle.js": ("swagger/swagger-ui-bundle.js", "text/javascript"),
    "/docs/swagger-ui.css": ("swagger/swagger-ui.css", "text/css"),
}
_VERSION = "swagger/VERSION"


def add_to(app: web.Application) -> None:
    """Add its routes."""
    tag = f'"{files(__name__).joinpath(_VERSION).read_text("utf-8").strip()}"'
    for path, (name, kind) in _FILES.items():
        app.router.add_get(path, _serve(name, kind, tag if name.startswith("swagger/") else ""))


def _serve(name: str, kind: str, tag: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def get(request: web.Request) -> web.StreamResponse:
        if tag and request.headers.get("If-None-Match") == tag:
            return web.Response(status=304, headers={"ETag": tag})
        text = files(__name__).joinpath(name).read_text("utf-8")
        response = web.Response(text=text, content_type=kind, headers=HEADERS)
        if tag:
            response.headers["ETag"] = tag
        response.headers["Cache-Control"] = "no-cache"  # asked each time, answered with 304
        response.enable_compression()
        return response

    return get
