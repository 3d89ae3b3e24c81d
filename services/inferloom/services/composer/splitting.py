"""A Route by shares: the arm function of the mesh, exposures, figures, and mirror arms.

A mirror's copy runs in the background on values of its own, after the real arm has begun; it neither delays nor changes the
answer. It is left out, and counted so, where too many are under way or where it would call something with effects.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping

import structlog

from inferloom.mesh.call import Metadata
from inferloom.mesh.catalog import Repeat
from inferloom.mesh.clock import Clock
from inferloom.mesh.errors import InferloomError, status_of
from inferloom.mesh.oip import MODEL_INFER
from inferloom.mesh.router.live_split import LiveSplit
from inferloom.mesh.router.mirror import LARGEST, MARK
from inferloom.mesh.router.splitting import Turn
from inferloom.mesh.split import Arm, Split
from inferloom.mesh.splits.compare import compare
from inferloom.services.composer.node_model import Models
from inferloom.services.composer.node_route import RouteNode
from inferloom.services.composer.run import Frame
from inferloom.services.tensor import to_response
from inferloom.v1 import graph_pb2

__all__ = ["MOST", "ByShares", "Mirroring", "split_of"]

log = structlog.get_logger(__name__)

MOST = 64  # copies under way in a process

Expose = Callable[[Turn, str, Metadata, tuple[str, ...], str, float], None]


def split_of(name: str, node: graph_pb2.Node, previous: Split | None) -> Split:
    """The Split of a Route. Raises InvalidInput where its shares contradict.

    Args:
        name: "pipeline.node".
        previous: of the version before: whoever can stay in an arm does.
    """
    route = node.route
    arms = [
        Arm(arm.name, 0.0 if arm.mirror else arm.share, mirror=arm.mirror, sample=arm.share if arm.mirror else 1.0)
        for arm in route.arms
    ]
    by = route.split
    return Split.of(name, arms, salt=by.salt, by=by.unit, overrides=dict(by.overrides), previous=previous)


class Mirroring:
    """The copies of a process."""

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        tasks = tuple(self.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class ByShares:
    """Chooses by the split that is in force.

    Args:
        models: tells whether what a mirror calls has effects.
        called: names of the models that an arm may call, by arm.
        expose: records an exposure; None: nobody wants to know.
    """

    def __init__(
        self,
        live: LiveSplit,
        models: Models,
        called: Mapping[str, Iterable[str]],
        mirroring: Mirroring,
        expose: Expose | None,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self.live = live
        self._models = models
        self._called = {arm: tuple(names) for arm, names in called.items()}
        self._mirroring = mirroring
        self._expose = expose
        self._clock = clock
        self._rng = rng

    async def run(self, route: RouteNode, frame: Frame) -> str:
        """Run the arm that the request belongs to, and count it."""
        began = self._clock.now()
        split = self.live.split
        unit = next((value for key, value in frame.metadata if key == split.by), None) if split.by else None
        assignment = split.assign(unit, self._rng.random())
        arm = assignment.arm
        real: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        mirrored = tuple([m.name for m in split.mirrors if self._mirror(m, route, frame, real, began)])
        code = "CANCELLED"
        try:
            await route.take(arm.name, frame)
            code = "OK"
        except InferloomError as error:
            code = status_of(error).code.name
            raise
        finally:
            seconds = self._clock.now() - began
            figures = self.live.figures.of(arm)
            figures.finished(code, seconds)
            figures.overridden += assignment.override
            if mirrored:
                real.set_result(_payload(route, arm.name, frame) if code == "OK" else None)
            if self._expose is not None:
                self._expose(Turn(self.live, assignment, arm), "", frame.metadata, mirrored, code, began)
        return arm.name

    def _mirror(
        self, arm: Arm, route: RouteNode, frame: Frame, real: asyncio.Future[bytes | None], began: float
    ) -> bool:
        """Start a copy where it is its turn."""
        if (arm.sample < 1 and self._rng.random() >= arm.sample) or MARK in frame.metadata:
            return False
        figures = self.live.figures.of(arm)
        if len(self._mirroring.tasks) >= MOST:
            figures.mirror.skip("busy")
            return False
        models = [self._models.model(name) for name in self._called.get(arm.name, ())]
        if any(model is not None and model.repeat is Repeat.NEVER for model in models):
            figures.mirror.skip("effects")
            return False
        task = asyncio.create_task(self._copy(arm, route, frame, real, began), name=f"mirror {route.name} {arm.name}")
        self._mirroring.tasks.add(task)
        task.add_done_callback(self._mirroring.tasks.discard)
        return True

    async def _copy(
        self, arm: Arm, route: RouteNode, frame: Frame, real: asyncio.Future[bytes | None], began: float
    ) -> None:
        figures = self.live.figures.of(arm)
        own = frame.copy((*frame.metadata, MARK))
        payload: bytes | None = None
        code = "CANCELLED"
        mine = self._clock.now()
        try:
            await route.take(arm.name, own)
            payload, code = _payload(route, arm.name, own), "OK"
        except InferloomError as error:
            code = status_of(error).code.name
        except Exception as error:  # nobody waits for it: what is wrong here must not pass unseen
            code = "UNKNOWN"
            log.error("mirror failed unexpectedly", route=route.where, arm=arm.name, exc_info=error)
        finally:
            await own.close()
            figures.finished(code, self._clock.now() - mine)
        theirs = await real
        if payload is None or theirs is None:
            if payload is theirs:
                figures.mirror.skip("both-failed")
            else:
                figures.mirror.failed += 1
            return
        if max(len(payload), len(theirs)) > LARGEST:
            figures.mirror.skip("large")
            return
        try:
            comparison = await asyncio.to_thread(compare, MODEL_INFER.path, theirs, payload)
        except ValueError:
            figures.mirror.skip("unreadable")
            return
        figures.mirror.compared(comparison, "", self._clock.now() - began)


def _payload(route: RouteNode, arm: str, frame: Frame) -> bytes:
    """What an arm gave, as a model would have answered."""
    found = [(name, value) for name, slot in route.arms[arm].slots if (value := frame.values[slot]) is not None]
    return bytes(to_response(found, route.name).SerializeToString())
