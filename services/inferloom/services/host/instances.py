"""The instances of one state of the user's code, from their start to their close."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterable
from contextlib import AsyncExitStack
from typing import Any

import structlog

from inferloom.mesh.errors import ConfigError, InferloomError
from inferloom.services.answerer import Answerer
from inferloom.services.declare.app import App, ServiceDeclaration
from inferloom.services.declare.resource import Resource
from inferloom.services.host.asgi import AsgiAnswerer, AsgiServer
from inferloom.services.host.fault import stack_text, summary
from inferloom.services.host.gate import Gate
from inferloom.services.host.method import MethodAnswerer
from inferloom.services.host.work import Work

__all__ = ["Instances"]

log = structlog.get_logger(__name__)


class Instances:
    """One instance of each service, and what they share. All start, or none.

    Resources and instances are closed by the task that opened them: some libraries insist on it.

    Args:
        app: what the file declares.
        services: those of them that run here.
        http_host: where ASGI applications listen.

    Attributes:
        answerers: of every method, once started.
        ports: HTTP ports of ASGI services, by name.
    """

    def __init__(
        self, app: App, services: Iterable[ServiceDeclaration], work: Work, http_host: str = "127.0.0.1"
    ) -> None:
        self.app = app
        self.answerers: list[Answerer] = []
        self.ports: dict[str, int] = {}
        self._services = list(services)
        self._work = work
        self._http_host = http_host
        self._gates: list[Gate] = []
        self._closing = asyncio.Event()
        self._living: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open resources, make instances, run their `start`.

        Raises:
            ConfigError: one of these failed; names it and what was raised. What had been opened is closed again.
        """
        started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._living = asyncio.create_task(self._live(started), name="services")
        try:
            await asyncio.shield(started)
        except asyncio.CancelledError:
            self._living.cancel()
            await asyncio.gather(self._living, return_exceptions=True)
            raise

    @property
    def ongoing(self) -> int:
        """Calls under way."""
        return sum(gate.ongoing for gate in self._gates)

    async def idle(self, timeout: float) -> bool:
        """Wait until no call is under way; False where one still is after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                for gate in self._gates:
                    await gate.idle()
        except TimeoutError:
            return False
        return True

    async def check(self) -> str:
        """Why a resource does not work now; "" where all do."""
        for resource in self.app.resources.values():
            if why := await _check(resource):
                return why
        return ""

    async def close(self) -> None:
        """Run their `close`, close resources. Safe to call more than once."""
        self._closing.set()
        if self._living is not None:
            await asyncio.gather(self._living, return_exceptions=True)

    async def _live(self, started: asyncio.Future[None]) -> None:
        async with AsyncExitStack() as stack:
            try:
                for resource in self.app.resources.values():
                    stack.push_async_callback(_closed, f"resource '{resource.name}'", resource.close)
                    await _told(f"{resource.place}: resource '{resource.name}' does not open", resource.open())
                for service in self._services:
                    await self._open(service, stack)
            except (Exception, asyncio.CancelledError) as error:
                await stack.aclose()
                if not started.done():
                    started.set_exception(
                        error if isinstance(error, Exception) else ConfigError("stopped while starting")
                    )
                if isinstance(error, asyncio.CancelledError):
                    raise
                return
            started.set_result(None)
            await self._closing.wait()

    async def _open(self, service: ServiceDeclaration, stack: AsyncExitStack) -> None:
        gate = Gate(service.name, service.max_ongoing)
        self._gates.append(gate)
        if service.asgi is not None:
            server = AsgiServer(service.asgi, service.name, gate, self._work, self._http_host)
            stack.push_async_callback(_closed, f"service '{service.name}'", server.close)
            await server.start()
            self.ports[service.name] = server.port
            text = (inspect.getdoc(service.asgi) or "").partition("\n\n")[0]
            self.answerers.append(AsgiAnswerer(service.name, service.version, service.repeat, text))
            return
        instance: Any = None
        if service.is_class:
            what = f"{service.place}: service '{service.name}' does not start"
            instance = await _told(what, _made(service.target))
            if (close := getattr(instance, "close", None)) is not None:
                stack.push_async_callback(_closed, f"service '{service.name}'", close)
            if (start := getattr(instance, "start", None)) is not None:
                await _told(what, start())
        steps = {step.name: step.function for step in self.app.steps.values() if step.replicas}
        for method in service.methods:
            # A plain step that is hosted runs in our own threads: they are watched.
            function = steps.get(service.name) or service.bound(instance, method)
            self.answerers.append(
                MethodAnswerer(
                    service.catalog_name(method),
                    service.version,
                    service.repeat,
                    function,
                    service.types(method),
                    gate,
                    self._work,
                )
            )


async def _made(target: Any) -> Any:
    return target()


async def _told(what: str, begun: Any) -> Any:
    """Its outcome; a failure as one line that begins with `what`, its stack in the log."""
    try:
        return await begun if inspect.isawaitable(begun) else begun
    except Exception as error:
        if not isinstance(error, InferloomError):
            log.error(what, stack=stack_text(error))
        raise ConfigError(f"{what}: {summary(error)}") from None


async def _closed(what: str, close: Any) -> None:
    """Close it; what is wrong with that goes to the log, and what else is open is closed too."""
    try:
        outcome = close()
        if inspect.isawaitable(outcome):
            await outcome
    except Exception as error:
        log.error("closing failed", what=what, stack=stack_text(error))


CHECK_TIMEOUT = 5.0  # seconds for one check of a resource


async def _check(resource: Resource[Any]) -> str:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT):
            await resource.check()
    except TimeoutError:
        return f"resource '{resource.name}' did not answer its check within {CHECK_TIMEOUT:.0f} s"
    except InferloomError as error:
        return str(error)
    except Exception as error:
        return f"resource '{resource.name}' failed its check: {summary(error)}"
    return ""
