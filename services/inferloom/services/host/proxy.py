"""HTTP requests to ASGI services: passed on to the port of the service's own application."""

from __future__ import annotations

from aiohttp import web

from inferloom.mesh.call import Call
from inferloom.mesh.errors import InferloomError, Unsupported
from inferloom.mesh.router.router import Router
from inferloom.services.forwarding import Forwarder, Place
from inferloom.services.typed.http_errors import error_response
from inferloom.services.typed.http_headers import timeout_of

__all__ = ["Mounts"]


class Mounts:
    """Passes requests for /NAME/TAIL on to a replica of the ASGI service NAME."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._forwarder = Forwarder(router)

    def mounted(self, name: str) -> bool:
        """Whether this name is an ASGI service now."""
        group = self._router.pool.groups.get(name)
        return group is not None and any(e.replica.app_port for e in group.endpoints.values())

    async def handle(self, request: web.Request, name: str, tail: str) -> web.StreamResponse:
        """The replica's answer.

        Args:
            tail: the rest of the path, without a slash before it, as it was written (percent-encoded).
        """
        try:
            group = self._router.pool.group(name)
            if not self.mounted(name):
                raise Unsupported(f"'{name}' is no HTTP application; call it as POST /v1/{name}")
            policy, now = group.policy, self._router.clock.now()
            seconds = min(timeout_of(request.headers) or policy.timeout, policy.longest)
            call = Call(group.model.name, "", "", b"", (), now + seconds)
            return await self._forwarder.pass_on(
                request, group, call, lambda replica: Place(replica.app_port, tail), seconds
            )
        except InferloomError as error:
            return error_response(error)

    async def close(self) -> None:
        await self._forwarder.close()
