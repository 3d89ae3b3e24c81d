"""Who answers to which name in a host."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from inferloom.mesh.catalog import Catalog, Model, version_key
from inferloom.mesh.errors import ModelNotFound
from inferloom.services.answerer import Answerer

__all__ = ["Table"]

Versions = Mapping[str, Answerer]


class Table:
    """Answerers by name and version. Changed as a whole, by swapping one reference; the request path only reads."""

    def __init__(self) -> None:
        self._names: Mapping[str, Versions] = MappingProxyType({})

    def __iter__(self) -> Iterator[Answerer]:
        for versions in self._names.values():
            yield from versions.values()

    def replace(self, answerers: Iterable[Answerer]) -> None:
        """From now on these answer, and no others. Of two with the same name and version the later one does."""
        found: dict[str, dict[str, Answerer]] = {}
        for answerer in answerers:
            found.setdefault(answerer.name, {})[answerer.version] = answerer
        self._names = {
            name: dict(sorted(each.items(), key=lambda e: version_key(e[0]))) for name, each in found.items()
        }

    def find(self, name: str, version: str = "") -> Answerer:
        """The one that answers; without a version the oldest.

        Raises:
            ModelNotFound: there is none; names near matches, or the versions there are.
        """
        versions = self._names.get(name)
        if versions is None:
            known = Catalog({each: Model(each, ()) for each in self._names})
            raise ModelNotFound(name, known.near(name))
        if not version:
            return next(iter(versions.values()))
        answerer = versions.get(version)
        if answerer is None:
            raise ModelNotFound(f"{name}:{version[:40]}", [f"{name} with version {', '.join(versions)}"])
        return answerer

    def versions(self, name: str) -> tuple[str, ...]:
        """Of a name, oldest first."""
        return tuple(self._names.get(name, ()))
