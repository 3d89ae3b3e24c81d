"""Brings what Triton has loaded to what the repository holds, model by model. One per run of a Triton.

A new version never unloads another nor interrupts it: Triton loads the whole set beside the old one and swaps when all
of it is ready. Where one version of the set does not load, Triton keeps none of the new ones; the set is then loaded
without it, and its fault goes into the record.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Protocol

import structlog
from grpc import StatusCode

from inferloom.mesh.clock import Clock
from inferloom.mesh.errors import InvalidInput, ReplicaError
from inferloom.mesh.telemetry.tracing import operation
from inferloom.mesh.telemetry.tracing_span import Span
from inferloom.sidecar.board import Board, Phase
from inferloom.sidecar.triton import TritonClient, TritonError, one_line
from inferloom.sidecar.version_policy import load_config
from inferloom.sidecar.warm import first_request

__all__ = ["Lifecycle", "Scanned", "Scanner", "bad_versions"]

log = structlog.get_logger(__name__)

LOADS_AT_ONCE = 4
RETRY = 5.0  # seconds before a load is tried again that failed because Triton could not be reached
BAD_VERSION = re.compile(r"version (\d+) is at UNAVAILABLE state: (.*?);\n", re.DOTALL)


class Scanned(Protocol):
    """What the repository holds of one model; `repository.RepositoryModel`."""

    @property
    def name(self) -> str: ...
    @property
    def versions(self) -> tuple[str, ...]: ...
    @property
    def fingerprint(self) -> str: ...


Scanner = Callable[[Path], Mapping[str, Scanned]]


def bad_versions(text: str) -> dict[str, str]:
    """Version -> reason, from the text with which Triton refuses a load."""
    return {version: one_line(reason) for version, reason in BAD_VERSION.findall(text + "\n")}


class Lifecycle:
    """Loads, unloads and warms models of one Triton.

    Args:
        settle: waits until routers have seen the records (registry written, watch lag passed).
        timeout: seconds for each load and each first request.
    """

    def __init__(
        self,
        client: TritonClient,
        board: Board,
        repository: Path,
        scan: Scanner,
        settle: Callable[[], Coroutine[Any, Any, None]],
        clock: Clock,
        *,
        interval: float,
        timeout: float,
    ) -> None:
        self._client = client
        self._board = board
        self._repository = repository
        self._scan = scan
        self._settle = settle
        self._clock = clock
        self._interval = interval
        self._timeout = timeout
        self._done: dict[str, str] = {}  # model -> fingerprint that was loaded, or could not be
        self._retry_at: dict[str, float] = {}
        self._working: dict[str, asyncio.Task[None]] = {}
        self._room = asyncio.Semaphore(LOADS_AT_ONCE)

    async def follow(self) -> None:
        """Watch the repository until cancelled."""
        complaint = ""
        try:
            while True:
                try:
                    found = await asyncio.to_thread(self._read)
                except (InvalidInput, OSError) as error:
                    if str(error) != complaint:
                        log.error("repository cannot be read", repository=str(self._repository), error=str(error))
                    complaint = str(error)
                else:
                    complaint = ""
                    self._compare(found)
                    self._board.looked()
                await self._clock.sleep(self._interval)
        finally:
            for task in self._working.values():
                task.cancel()
            await asyncio.gather(*self._working.values(), return_exceptions=True)

    def _read(self) -> Mapping[str, Scanned]:
        if not self._repository.is_dir():  # a volume that is away for a moment is no wish to unload everything
            raise InvalidInput(f"{self._repository} is not there; what is loaded stays")
        return self._scan(self._repository)

    def _compare(self, found: Mapping[str, Scanned]) -> None:
        for name in {*found, *self._board.models}:
            model = found.get(name)
            if name in self._working or (model is not None and self._done.get(name) == model.fingerprint):
                continue
            if self._retry_at.get(name, 0.0) > self._clock.now():
                continue
            if name not in self._board.models:
                self._board.show(name, Phase.LOADING, "waiting for its turn to load")
            task = asyncio.create_task(self._work(name, model), name=f"load {name}")
            self._working[name] = task
            task.add_done_callback(lambda _, name=name: self._working.pop(name, None))  # type: ignore[misc]

    async def _work(self, name: str, model: Scanned | None) -> None:
        async with self._room:
            try:
                if model is None:
                    with operation(f"unload {name}", model=name):
                        await self._remove(name)
                    self._done.pop(name, None)
                else:
                    with operation(f"load {name}", model=name, versions=",".join(model.versions)) as span:
                        await self._load(model)
                        self._told(span, name)
                    self._done[name] = model.fingerprint
                self._retry_at.pop(name, None)
            except TritonError as error:
                self._retry_at[name] = self._clock.now() + RETRY
                late = error.code is StatusCode.DEADLINE_EXCEEDED
                text = f"not done after {self._timeout:.0f} s" if late else one_line(error.text)
                self._board.show(name, Phase.FAILED, f"{text}; trying again")
                log.warning("Triton not reached", model=name, error=error.text)
            except Exception:
                self._retry_at[name] = self._clock.now() + RETRY
                self._board.show(name, Phase.FAILED, "unexpected error of the sidecar; its log has the details")
                log.exception("unexpected error", model=name)

    def _told(self, span: Span | None, name: str) -> None:
        """Whether it serves now; why not is known to the board alone."""
        status = self._board.models.get(name)
        if span is not None and status is not None and status.phase is Phase.FAILED:
            span.fail(ReplicaError(StatusCode.INTERNAL, status.message))

    async def _remove(self, name: str) -> None:
        """Drain, unload, forget."""
        self._board.show(name, Phase.DRAINING)
        await self._settle()
        try:
            with operation(f"triton unload {name}"):
                await self._client.unload(name, self._timeout)
        except TritonError as error:
            if error.unreachable:
                raise
            log.info("was not loaded", model=name, reason=one_line(error.text))
        self._board.forget(name)
        log.info("unloaded", model=name)

    async def _load(self, model: Scanned) -> None:
        status = self._board.models.get(model.name)
        serving = status.versions if status else ()
        kept = [version for version in serving if version in model.versions]
        if len(kept) < len(serving):  # a version goes: routers first, then Triton
            self._board.show(model.name, Phase.LOADING, versions=kept)
            await self._settle()
        if not model.versions:
            self._board.show(model.name, Phase.FAILED, "it has no version folder with a model in it", kept)
            return
        self._board.show(model.name, Phase.LOADING, f"loading version {', '.join(model.versions)}", kept)
        with operation(f"triton load {model.name}"):
            problems = await self._load_what_loads(model)
        index = (await self._client.index()).get(model.name, {})
        ready = [v for v in model.versions if v in index and index[v].state == "READY"]
        left_out = [v for v in model.versions if v not in ready and v not in problems]
        if left_out and ready:
            log.info("not loaded by its version policy", model=model.name, versions=left_out)
        good = [v for v in kept if v in ready]
        self._board.show(model.name, Phase.WARMING, _summary(problems), good)
        for version in ready:
            with operation(f"first request {model.name}", version=version):
                fault = await first_request(self._client, model.name, version, self._timeout, self._repository)
            if fault:
                problems[version] = fault
                good = [v for v in good if v != version]
            elif version not in good:
                good.append(version)
        for version, fault in problems.items():
            log.error("version does not serve", model=model.name, version=version, problem=fault)
        self._board.show(model.name, Phase.SERVING if good else Phase.FAILED, _summary(problems), good)
        if good:
            log.info("serving", model=model.name, versions=good)

    async def _load_what_loads(self, model: Scanned) -> dict[str, str]:
        """Load all versions, or those that can be. Returns version ("" for all of them) -> fault."""
        problems: dict[str, str] = {}
        only: list[str] | None = None
        while True:
            try:
                config = load_config(self._repository / model.name, only)
                await self._client.load(model.name, config, self._timeout)
            except InvalidInput as error:
                return {"": str(error)}
            except TritonError as error:
                if error.unreachable:
                    raise
                bad = {v: why for v, why in bad_versions(error.text).items() if v in model.versions}
                problems |= bad or {"": one_line(error.text)}
                only = [version for version in model.versions if version not in problems]
                if not bad or not only:
                    return problems
            else:
                return problems


def _summary(problems: Mapping[str, str]) -> str:
    return "; ".join(f"version {version}: {why}" if version else why for version, why in sorted(problems.items()))
