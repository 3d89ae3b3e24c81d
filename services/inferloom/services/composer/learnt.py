"""What the composer has learnt of the models in the catalog: signatures and instances, asked for once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from inferloom.clients.metadata import ModelMetadata
from inferloom.mesh.call import Call
from inferloom.mesh.catalog import Model
from inferloom.mesh.errors import InferloomError, ModelNotFound, Unsupported
from inferloom.mesh.oip import METHODS, SERVICE, pb
from inferloom.mesh.router.router import Router
from inferloom.services.composer.runtime import Facts
from inferloom.services.signature import Signature

__all__ = ["Learnt"]

METADATA, CONFIG = (METHODS[f"/{SERVICE}/{name}"] for name in ("ModelMetadata", "ModelConfig"))
PATIENCE = 5.0  # seconds for one answer

Key = tuple[str, str]  # name and version


@dataclass(frozen=True, slots=True)
class _Entry:
    model: Model  # as it was in the catalog when asked: another object means that it has changed
    signature: Signature
    instances: int
    stateful: bool
    most: int


class Learnt:
    """Signatures by name and version, as long as the catalog's model stays the same object.

    Args:
        router: asks the models.
    """

    def __init__(self, router: Router) -> None:
        self._router = router
        self._entries: dict[Key, _Entry] = {}

    async def learn(self, keys: Iterable[Key]) -> dict[str, str]:
        """Ask what is not known yet. Returns why not, by name: of those that could not be asked."""
        why: dict[str, str] = {}
        for name, version in keys:
            group = self._router.pool.groups.get(name)
            if group is None or not group.model.ready:
                continue
            known = self._entries.get((name, version))
            if known is not None and known.model is group.model:
                continue
            try:
                self._entries[name, version] = await self._ask(group.model, version)
            except ModelNotFound:
                self._entries.pop((name, version), None)
            except InferloomError as error:
                why[name] = str(error)
        return why

    def signature(self, name: str, version: str) -> Signature | None:
        entry = self._entries.get((name, version))
        return None if entry is None or name not in self._router.pool.groups else entry.signature

    def facts(self, name: str) -> Facts:
        """Of any of its versions that is known."""
        entry = self._entries.get((name, "")) or next((e for (n, _), e in self._entries.items() if n == name), None)
        group = self._router.pool.groups.get(name)
        if entry is None or group is None:
            return Facts()
        usable = sum(replica.usable for replica in group.model.replicas)
        return Facts(entry.most, usable * entry.instances, entry.stateful)

    async def _ask(self, model: Model, version: str) -> _Entry:
        name = model.name
        asked = pb.ModelMetadataRequest(name=name, version=version).SerializeToString()
        metadata = pb.ModelMetadataResponse.FromString(await self._call(METADATA.path, name, version, asked))
        config: Any = None
        try:
            asked = pb.ModelConfigRequest(name=name, version=version).SerializeToString()
            config = pb.ModelConfigResponse.FromString(await self._call(CONFIG.path, name, version, asked)).config
        except Unsupported:
            pass
        except InferloomError as error:
            if error.code is not Unsupported.code:
                raise
        told = ModelMetadata.of(metadata, config)
        instances = sum(group.count for group in config.instance_group) if config is not None else 0
        stateful = config is not None and config.HasField("sequence_batching")
        return _Entry(model, Signature.of(told), instances or 1, stateful, told.max_batch_size or 0)

    async def _call(self, path: str, name: str, version: str, payload: bytes) -> bytes:
        deadline = self._router.clock.now() + PATIENCE
        return (await self._router(Call(name, version, path, payload, (), deadline))).payload
