"""Further services on the router's port, which come and go with the models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from inferloom.mesh.latest import Latest

__all__ = ["Extra"]


class Extra(Protocol):
    """What a RouterServer serves beside its own methods."""

    @property
    def busy(self) -> bool:
        """Whether a call is under way that a draining server should wait for."""

    def handler(self, path: str) -> Any | None:
        """The grpc handler of a method, "/package.Service/Method"; None where there is none. Asked for every call."""

    @property
    def served(self) -> Latest[Mapping[str, str]]:
        """Full names of services, each with the model it stands for: reflection lists them, and health has its state."""

    async def files(self, *, symbol: str = "", name: str = "") -> Sequence[bytes] | None:
        """The FileDescriptorProtos, serialised, of the file with that name or that has that symbol, and of those it
        imports; None where there is none."""
