"""The Splits of all Routes by shares that a composer runs; `inferloom split PIPELINE.NODE` shows their figures."""

from __future__ import annotations

import random
from contextlib import suppress

from google.protobuf.json_format import ParseError

from inferloom.mesh.clock import Clock
from inferloom.mesh.errors import InferloomError
from inferloom.mesh.registry.base import Document, Documents
from inferloom.mesh.router.live_split import LiveSplit
from inferloom.mesh.router.router import Router
from inferloom.mesh.split import Split
from inferloom.services.composer.checked import Checked, CheckedNode
from inferloom.services.composer.cycles import steps_of
from inferloom.services.composer.graph import graph_from
from inferloom.services.composer.node_model import Models
from inferloom.services.composer.splitting import ByShares, Mirroring, split_of
from inferloom.v1 import graph_pb2

__all__ = ["RouteSplits"]


class RouteSplits:
    """Live splits by "pipeline.node".

    Args:
        documents: tell the versions before, from which the ranges follow.
    """

    def __init__(self, router: Router, documents: Documents, models: Models, clock: Clock, rng: random.Random) -> None:
        self._router = router
        self._documents = documents
        self._models = models
        self._clock = clock
        self._rng = rng
        self._mirroring = Mirroring()
        self._splits: dict[str, LiveSplit] = {}

    async def learn(self, checked: Checked, document: Document) -> None:
        """Have a split for each Route by shares: from the one in force, or from the document's history."""
        nodes = [node for node in checked.nodes.values() if node.node.route.WhichOneof("by") == "split"]
        self._keep(checked.graph.name, {f"{checked.graph.name}.{node.name}" for node in nodes})
        for node in nodes:
            key = f"{checked.graph.name}.{node.name}"
            live = self._splits.get(key)
            previous = live.split if live is not None else await self._previous(key, node.name, document)
            split = split_of(key, node.node, previous)
            if live is not None:
                live.follow(split, document.version)
            else:
                self._splits[key] = LiveSplit(split, document.version, self._clock.wall())
            self._router.splitting.routes[key] = self._splits[key]

    def forget(self, pipeline: str) -> None:
        """Its document is gone."""
        self._keep(pipeline, set())

    def chooser(self, checked: Checked, node: CheckedNode) -> ByShares:
        """Of a Route whose split has been learnt."""
        called = {arm: _models_under(checked, use.needs, use.step) for arm, use in node.arms.items()}
        live = self._splits[f"{checked.graph.name}.{node.name}"]
        expose = self._router.splitting.expose
        return ByShares(live, self._models, called, self._mirroring, expose, self._clock, self._rng)

    async def close(self) -> None:
        """End the mirrors that are under way."""
        await self._mirroring.close()

    def _keep(self, pipeline: str, keys: set[str]) -> None:
        for key in [key for key in self._splits if key.rpartition(".")[0] == pipeline and key not in keys]:
            del self._splits[key]
            self._router.splitting.routes.pop(key, None)

    async def _previous(self, key: str, node: str, document: Document) -> Split | None:
        """The split as the versions before have made it: so every composer has the same."""
        found: Split | None = None
        for older in await self._documents.history(document.kind, document.name):
            if older.spec is None or older.version >= document.version:
                continue
            with suppress(InferloomError, ParseError):
                for each in graph_from(older.spec, document.name).nodes:
                    if each.name == node and each.route.WhichOneof("by") == "split":
                        found = split_of(key, each, found)
        return found


def _models_under(checked: Checked, needs: frozenset[str], step: graph_pb2.Step) -> set[str]:
    """What an arm may call, with the nodes that only it needs."""
    found = {name for name in (step.model, step.on_error.model) if name}
    for name in needs:
        node = checked.nodes[name]
        for _, each in steps_of(node.node):
            found |= {model for model in (each.model, each.on_error.model) if model}
        found |= _models_under(checked, node.may_need, graph_pb2.Step())
    return found
