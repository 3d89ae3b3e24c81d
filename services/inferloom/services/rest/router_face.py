"""/v2 of a router's HTTP port."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import quote

from aiohttp import web
from grpc import StatusCode

from inferloom.mesh.call import Call
from inferloom.mesh.catalog import Replica
from inferloom.mesh.errors import InferloomError
from inferloom.mesh.names import check_name
from inferloom.mesh.oip_rest import PREFIX, Found
from inferloom.mesh.router.router import Router
from inferloom.mesh.router.splitting import Turn
from inferloom.services.forwarding import Forwarder, Place
from inferloom.services.rest.asked import asked_of
from inferloom.services.rest.errors import rest_error
from inferloom.services.rest.face import RestFace
from inferloom.services.rest.router_backend import RouterBackend

__all__ = ["RouterRest"]

LetIn = Callable[[web.Request], web.Request]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class RouterRest:
    """Answers what begins with /v2, for models, services and pipelines alike.

    Inferences are converted, and go the way of any call. What is generated is passed on to a replica's own REST port as it
    came: it is tried elsewhere only where the connection was refused.
    """

    def __init__(self, router: Router, max_body: int) -> None:
        self._router = router
        self._forwarder = Forwarder(router)
        self._face = RestFace(RouterBackend(router), max_body=max_body, generate=self._generate)

    def add_to(self, app: web.Application, let_in: LetIn) -> None:
        """Take those requests, before any other handler.

        Args:
            let_in: the request as it may be answered, or an InferloomError.
        """

        @web.middleware
        async def under_v2(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.path != PREFIX and not request.path.startswith(f"{PREFIX}/"):
                return await handler(request)
            try:
                return await self._face.handle(let_in(request))
            except InferloomError as error:
                return rest_error(error)

        async def close(app: web.Application) -> None:
            await self._forwarder.close()

        app.middlewares.insert(0, under_v2)
        app.on_cleanup.append(close)

    async def _generate(self, request: web.Request, found: Found) -> web.StreamResponse:
        router, now = self._router, self._router.clock.now
        began, code, turn = now(), StatusCode.OK, None
        asked = asked_of(request)
        group = router.pool.group(check_name(found.model))
        try:
            model, version = found.model, found.version
            turn = None if version else router.splitting.turn(model, asked.metadata, None)
            if turn is not None:
                model, version = turn.arm.model or model, turn.arm.target_version
            aim = router.pool.group(model)
            seconds = aim.policy.timeout if asked.seconds is None else min(asked.seconds, aim.policy.longest)
            if found.method.name == "generate_stream" and asked.seconds is None:
                seconds = aim.policy.stream_idle

            def place(replica: Replica) -> Place:
                of = version or replica.default_version
                named = f"/versions/{quote(of, safe='')}" if of else ""
                return Place(replica.http_port, f"v2/models/{quote(model, safe='')}{named}/{found.method.name}")

            call = Call(model, version, "", b"", asked.metadata, began + seconds)
            return await self._forwarder.pass_on(request, aim, call, place, seconds, await request.read())
        except asyncio.CancelledError:
            code = StatusCode.CANCELLED
            raise
        except Exception as error:
            failed, name = router.failures.raised, found.method.name
            code = failed(error, began, model=group.model.name, method=name, metadata=asked.metadata).code
            raise
        finally:
            router.metrics.finished(group.model.name, "", code, now() - began)
            self._count(turn, code, asked.metadata, began)

    def _count(
        self, turn: Turn | None, code: StatusCode, metadata: tuple[tuple[str, str | bytes], ...], began: float
    ) -> None:
        if turn is not None:
            splitting = self._router.splitting
            splitting.count(turn, code.name, self._router.clock.now() - began)
            splitting.expose(turn, "", metadata, (), code.name, began)
