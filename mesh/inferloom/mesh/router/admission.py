"""Admission: the outermost layer, which bounds the bytes in flight of the whole process."""

from __future__ import annotations

from collections.abc import Callable

from inferloom.mesh.call import Call, Handler, Reply
from inferloom.mesh.errors import Exhausted
from inferloom.mesh.explain.story import current_story
from inferloom.mesh.telemetry.metrics_series import Layers

__all__ = ["Admission"]


class Admission:
    """Bytes in flight of this process.

    Args:
        most: bytes; 64 messages of 64 MiB would be 4 GiB.
    """

    __slots__ = ("bytes", "most", "refused", "requests")

    def __init__(self, most: int) -> None:
        self.most = most
        self.refused = 0  # so far
        self.bytes = 0
        self.requests = 0

    def take(self, size: int) -> None:
        """Room for a message of `size` bytes; give it back in `finally`.

        Raises:
            Exhausted: there is none now ("shed"), or never can be ("size").
        """
        if self.bytes + size > self.most:
            self.refused += 1
            if size > self.most:
                raise Exhausted(f"a message of {size} bytes exceeds this process's bound of {self.most}", reason="size")
            raise Exhausted(
                f"{self.bytes + size} bytes in flight would exceed this process's bound of {self.most}",
                reason="shed",
                pushback=0.1,
            )
        self.bytes += size
        self.requests += 1

    def give(self, size: int) -> None:
        """The message is answered, or has been passed on."""
        self.bytes -= size
        self.requests -= 1

    def layer(self, inner: Handler, now: Callable[[], float], layers: Callable[[str], Layers]) -> Handler:
        """Around the others.

        Args:
            layers: where the time of a model's requests is counted.
        """

        async def admit(call: Call) -> Reply:
            began = now()
            size = len(call.payload)
            self.take(size)
            try:
                layers(call.model).admission += (passed := now()) - began
                if (story := current_story.get()) is not None:
                    story.admitted = passed
                return await inner(call)
            finally:
                self.give(size)

        return admit
