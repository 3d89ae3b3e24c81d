"""The typed faces of everything in the catalog, kept as it changes.

A face is asked for and built when its model appears, and again when the catalog's model object or the hints in its
document change; a call that comes earlier waits for it. Numbers of fields come from the mesh's documents.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import structlog
from grpc import StatusCode

from inferloom.mesh.catalog import EMPTY, Catalog, Kind, Model
from inferloom.mesh.errors import ConfigError, InferloomError, InvalidInput, ModelNotFound
from inferloom.mesh.latest import Latest
from inferloom.mesh.registry.base import Document
from inferloom.mesh.router.router import Router
from inferloom.services.proto.face import Face
from inferloom.services.proto.hints import Hints
from inferloom.services.proto.keep import Build, keep
from inferloom.services.proto.lock import KIND as LOCKS
from inferloom.services.proto.lock import numbered
from inferloom.services.proto.model import model_face
from inferloom.services.proto.schema import service_face
from inferloom.services.typed.asking import ask_metadata
from inferloom.services.typed.describing import Descriptions
from inferloom.services.typed.openapi import path_of
from inferloom.services.typed.served import Served

__all__ = ["Faces"]

log = structlog.get_logger(__name__)

AT_ONCE = 8  # models that are asked at the same time
PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # seconds before one that did not tell is asked again
PROVISIONAL = 5.0  # seconds that a face without kept numbers is used, before they are looked for again
MODELS = "model"  # documents with hints


@dataclass(frozen=True, slots=True)
class _Kept:
    model: Model
    hints: Document | None
    lock: Document | None
    served: Served
    time: float


class Faces:
    """Made once for a router; shared by its HTTP and gRPC faces.

    Attributes:
        served: full names of the proto services that are there now, each with the name in the catalog.
    """

    def __init__(self, router: Router) -> None:
        self.router = router
        self.descriptions = Descriptions(router)
        self.served: Latest[Mapping[str, str]] = Latest(MappingProxyType({}))
        self._kept: dict[tuple[str, str], _Kept] = {}
        self._building: dict[tuple[str, str], asyncio.Task[Served]] = {}
        self._documents: Mapping[tuple[str, str], Document] = {}
        self._refreshing: dict[str, asyncio.Task[None]] = {}
        self._following: list[asyncio.Task[None]] = []
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def start(self) -> None:
        """Begin to follow the catalog and the documents of a started router. Idempotent."""
        if not self._following:
            self._following = [
                asyncio.create_task(self._follow(), name="follow catalog for typed faces"),
                asyncio.create_task(self._follow_documents(), name="follow documents for typed faces"),
            ]

    async def close(self) -> None:
        tasks = [*self._following, *self._refreshing.values(), *self._building.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def of(self, name: str, version: str = "") -> Served:
        """The face of a name in the catalog; of a model's version, or of the one that answers where none is named.

        Raises:
            InferloomError: nobody tells what it takes; ModelNotFound.
        """
        model = self.router.pool.catalog.models.get(name)
        if model is None:
            raise ModelNotFound(name, self.router.pool.catalog.near(name))
        kept = self._kept.get((name, version))
        if kept is not None and self._holds(kept, model) and await self._still_said(kept, model):
            return kept.served
        return await self._built(name, version)

    def name_of(self, service: str) -> str | None:
        """The name in the catalog that a proto service stands for, where that is known."""
        return self.served.value.get(service)

    async def settled(self, seconds: float) -> None:
        """Return when the faces that are being made are there, or after so many seconds."""
        tasks = {*self._refreshing.values(), *self._building.values()}
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)

    async def _still_said(self, kept: _Kept, model: Model) -> bool:
        """A host that reloads its code tells another thing without the catalog's changing."""
        if model.kind is Kind.MODEL:
            return True
        try:
            return kept.served.described == await self.descriptions.of(model.name)
        except InferloomError:
            return True  # the call itself will say why

    def _holds(self, kept: _Kept, model: Model) -> bool:
        """Whether it is as good as a new one: replicas that come and go in a restart must not hold up a call.

        Where the model's own object changed, the new face is being made.
        """
        same = kept.model is model or kept.model.versions == model.versions
        return same and self._documented(kept, model.name)

    def _documented(self, kept: _Kept, name: str) -> bool:
        fresh = kept.served.numbered or self.router.clock.now() < kept.time + PROVISIONAL
        hints, lock = self._documents.get((MODELS, name)), self._documents.get((LOCKS, name))
        return fresh and kept.hints is hints and kept.lock is lock

    async def _built(self, name: str, version: str) -> Served:
        """Whoever asks meanwhile waits for the same."""
        key = (name, version)
        task = self._building.get(key)
        if task is None:
            task = asyncio.create_task(self._build(name, version), name=f"typed face of {name}")
            self._building[key] = task
            task.add_done_callback(lambda done: self._end(key, done))
        return await asyncio.shield(task)

    def _end(self, key: tuple[str, str], done: asyncio.Task[Served]) -> None:
        if self._building.get(key) is done:
            del self._building[key]
        if not done.cancelled():
            done.exception()  # whoever waited has it; nobody may have

    async def _build(self, name: str, version: str) -> Served:
        model = self.router.pool.catalog.models.get(name)
        if model is None:
            raise ModelNotFound(name, self.router.pool.catalog.near(name))
        hints, lock = self._documents.get((MODELS, name)), self._documents.get((LOCKS, name))
        served = await (self._model(name, version) if model.kind is Kind.MODEL else self._typed(name))
        before = self._kept.get((name, version))
        if before is not None and before.served == served:
            served = before.served  # its classes are made already
        self._kept[name, version] = _Kept(model, hints, lock, served, self.router.clock.now())
        if not version and served.numbered:
            others = {service: of for service, of in self.served.value.items() if of != name}
            self.served.set(MappingProxyType(others | {served.face.full_service: name}))
        return served

    async def _model(self, name: str, version: str) -> Served:
        metadata = await ask_metadata(self.router, name, version)
        hints = self._hints(name)

        def build(part: str, taken: Collection[str]) -> Face:
            try:
                return model_face(metadata, hints, taken=taken, part=part)
            except ConfigError as error:
                log.warning("hints are left aside", model=name, why=str(error))
                return model_face(metadata, taken=taken, part=part)

        if version:  # JSON alone has versions, and no numbers
            return Served(numbered(build("", ()))[0], metadata)
        face, known = await self._numbered(name, build)
        return Served(face, metadata, numbered=known)

    async def _typed(self, name: str) -> Served:
        described = await self.descriptions.of(name)
        path = path_of(name, self.router.pool.catalog.models)

        def build(part: str, taken: Collection[str]) -> Face:
            return service_face(name, described, path, taken=taken, part=part)

        face, known = await self._numbered(name, build)
        return Served(face, described=described, numbered=known)

    async def _numbered(self, name: str, build: Build) -> tuple[Face, bool]:
        try:
            return await keep(self.router.registry.documents, name, build), True
        except InferloomError as error:
            log.warning("numbers of fields cannot be read", model=name, why=str(error))
            return numbered(build("", ()))[0], False

    def _hints(self, name: str) -> Hints | None:
        document = self._documents.get((MODELS, name))
        said = (document.spec or {}).get("hints") if document is not None else None
        if not said:
            return None
        try:
            return Hints.from_json(said)
        except InvalidInput as error:
            log.warning("hints are left aside", model=name, why=str(error))
            return None

    async def _follow(self) -> None:
        before: Catalog = EMPTY
        async for catalog in self.router.registry.watch():
            self._forget(before.models.keys() - catalog.models.keys())
            for name, model in catalog.models.items():
                if model is not before.models.get(name):
                    self._refresh(name)
            before = catalog

    async def _follow_documents(self) -> None:
        async for documents in self.router.registry.documents.watch():
            before, self._documents = self._documents, documents
            for key in before.keys() | documents.keys():
                kind, name = key
                if kind in (MODELS, LOCKS) and before.get(key) is not documents.get(key):
                    self._refresh(name)

    def _forget(self, names: Collection[str]) -> None:
        if not names:
            return
        self._kept = {key: kept for key, kept in self._kept.items() if key[0] not in names}
        self.served.set(MappingProxyType({s: name for s, name in self.served.value.items() if name not in names}))

    def _refresh(self, name: str) -> None:
        """Ask in the background; the newest wish counts."""
        earlier = self._refreshing.pop(name, None)
        if earlier is not None:
            earlier.cancel()
        task = asyncio.create_task(self._ask(name), name=f"ask {name}")
        self._refreshing[name] = task
        task.add_done_callback(lambda done: self._refreshing.get(name) is done and self._refreshing.pop(name))

    async def _ask(self, name: str) -> None:
        for pause in (0.0, *PAUSES):
            await self.router.clock.sleep(pause)
            model = self.router.pool.catalog.models.get(name)
            if model is not None and not model.ready:
                return  # its next change is seen
            try:
                async with self._turns:
                    kept = self._kept.get((name, ""))
                    if kept is None or kept.model is not model or not self._documented(kept, name):
                        await self._built(name, "")
                return
            except ModelNotFound:
                continue  # the router sees the catalog a moment later
            except InferloomError as error:
                log.debug("does not tell its types", model=name, why=str(error))
                if error.code is StatusCode.UNIMPLEMENTED:
                    return  # it has pages of its own, for instance
            except Exception as error:
                log.error("no typed face could be made", model=name, exc_info=error)
                return
