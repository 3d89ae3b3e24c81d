"""Admission: the outermost layer, which bounds the bytes in flight of the whole process."""

from __future__ import annotations

from inferloom.mesh.call import Call, Handler, Reply
from inferloom.mesh.errors import Exhausted

__all__ = ["Admission"]


class Admission:
    """Bytes in flight of this process.

    Args:
        most: bytes; 64 messages of 64 MiB would be 4 GiB.
    """

    __slots__ = ("bytes", "most", "requests")

    def __init__(self, most: int) -> None:
        self.most = most
        self.bytes = 0
        self.requests = 0

    def take(self, size: int) -> None:
        """Room for a message of `size` bytes; give it back in `finally`.

        Raises:
            Exhausted: there is none now ("shed"), or never can be ("size").
        """
        if self.bytes + size > self.most:
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

    def layer(self, inner: Handler) -> Handler:
        async def admit(call: Call) -> Reply:
            size = len(call.payload)
            self.take(size)
            try:
                return await inner(call)
            finally:
                self.give(size)

        return admit
