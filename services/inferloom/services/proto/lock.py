"""Numbers of fields that stay what they are: beside a written proto, and in the mesh's documents for what it serves.

A field that is gone leaves its number and name reserved, so that no other ever takes them; should it come back as it
was, it gets them again. What callers' stubs cannot survive (another type, other methods, rows that were none) is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from inferloom.mesh.errors import InvalidInput
from inferloom.services.proto.face import INPUT_ROW, ROWS, Face, Field, Reserved

__all__ = ["KIND", "Incompatible", "Lock", "numbered"]

KIND = "proto"  # of the mesh's documents that hold locks, by the name of what they are for
FORMAT = 1
LAST = 2**29 - 1  # largest number of a field
_PROTOBUFS_OWN = range(19_000, 20_000)

Numbers = Mapping[str, tuple[int, str]]  # name -> (number, type); of an enum's values the type is ""


class Incompatible(InvalidInput):
    """What is asked for contradicts the lock."""


@dataclass(frozen=True, slots=True)
class Scope:
    """A message or an enum: what is there, and what was."""

    present: Numbers = field(default_factory=dict)
    gone: Numbers = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lock:
    """What a version of a face has promised."""

    name: str
    segment: str  # of the package: inferloom.models.SEGMENT.v1
    major: int = 1
    revision: int = 1  # grows with each change
    methods: tuple[str, ...] = ()
    scopes: Mapping[str, Scope] = field(default_factory=dict)  # by message or enum

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "name": self.name,
            "segment": self.segment,
            "major": self.major,
            "revision": self.revision,
            "methods": list(self.methods),
            "scopes": {
                name: {"present": _to_json(scope.present)} | ({"gone": _to_json(scope.gone)} if scope.gone else {})
                for name, scope in self.scopes.items()
            },
        }

    @staticmethod
    def from_json(value: Mapping[str, Any], where: str) -> Lock:
        """Raises InvalidInput naming `where` for what is no lock."""
        try:
            if value["format"] != FORMAT:
                raise InvalidInput(f"{where} was written by a newer inferloom")
            scopes = {
                str(name): Scope(_from_json(scope["present"]), _from_json(scope.get("gone", {})))
                for name, scope in value["scopes"].items()
            }
            numbers = (int(value["major"]), int(value["revision"]))
            return Lock(str(value["name"]), str(value["segment"]), *numbers, tuple(value["methods"]), scopes)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidInput(f"{where} is no lock of field numbers ({type(error).__name__}: {error})") from None


def numbered(face: Face, lock: Lock | None = None, *, bump: bool = False) -> tuple[Face, Lock]:
    """The face with its fields' numbers, and the lock that keeps them.

    The same face always gets the same numbers, so that two routers of a mesh agree before either has written a lock.

    Args:
        face: as `model_face` or `service_face` made it; its numbers do not matter.
        lock: of an earlier time; one of another major version does not count.
        bump: instead of raising, go on to the next major version.

    Raises:
        Incompatible: callers' stubs would break; says which field, and the way out.
    """
    known = lock if lock is not None and lock.major == face.major else None
    try:
        return _numbered(face, known)
    except Incompatible:
        if not bump:
            raise
        return _numbered(at_major(face, face.major + 1), None)


def at_major(face: Face, major: int) -> Face:
    """The same face in package v`major`."""
    package = f"{face.package.rpartition('.')[0]}.v{major}"
    return replace(face, major=major, package=package)


def _numbered(face: Face, known: Lock | None) -> tuple[Face, Lock]:
    before = known.scopes if known is not None else {}
    if known is not None:
        _check_methods(face, known)
    scopes: dict[str, Scope] = {}
    messages = []
    for message in face.messages:
        entries = [(each.name, _type(each)) for each in message.fields]
        numbers, scopes[message.name] = _assigned(face, message.name, entries, before.get(message.name, Scope()))
        fields = tuple(replace(each, number=numbers[each.name]) for each in message.fields)
        messages.append(replace(message, fields=fields, reserved=_reserved(scopes[message.name])))
    enums = []
    for enumeration in face.enums:
        entries = [(name, "") for name, _, _ in enumeration.values]
        numbers, scopes[enumeration.name] = _assigned(
            face, enumeration.name, entries, before.get(enumeration.name, Scope())
        )
        values = tuple((name, numbers[name], label) for name, _, label in enumeration.values)
        enums.append(replace(enumeration, values=values, reserved=_reserved(scopes[enumeration.name])))
    for name, scope in before.items():  # a message that no field uses now: it may come back
        scopes.setdefault(name, Scope({}, {**scope.gone, **scope.present}))
    made = replace(face, messages=tuple(messages), enums=tuple(enums))
    methods = tuple(method.name for method in face.methods)
    segment = face.package.split(".")[2]
    lock = Lock(face.name, segment, face.major, known.revision if known else 1, methods, scopes)
    if known is not None and lock != known:
        lock = replace(lock, revision=known.revision + 1)
    return made, lock


def _assigned(
    face: Face, scope: str, entries: Iterable[tuple[str, str]], before: Scope
) -> tuple[dict[str, int], Scope]:
    known = {**before.gone, **before.present}
    following = max((number for number, _ in known.values()), default=0) + 1
    present: dict[str, tuple[int, str]] = {}
    for name, kind in entries:
        if name in known:
            number, was = known[name]
            if was != kind:
                raise _refused(face, f"{scope}.{name} was {was} and is now {kind}")
        else:
            if following in _PROTOBUFS_OWN:
                following = _PROTOBUFS_OWN.stop
            number, following = following, following + 1
            if number > LAST:
                raise _refused(face, f"{scope} has no field number left")
        present[name] = (number, kind)
    gone = {name: entry for name, entry in known.items() if name not in present}
    return {name: number for name, (number, _) in present.items()}, Scope(present, gone)


def _check_methods(face: Face, known: Lock) -> None:
    for method in known.methods:
        if method not in {each.name for each in face.methods}:
            has = " and ".join(each.name for each in face.methods)
            raise _refused(face, f"{method} is gone: it now has {has}")
    rows = known.scopes.get(face.predict.request, Scope()).present.get(ROWS)
    had_rows = rows is not None and rows[1] == f"repeated {INPUT_ROW}"  # a tensor may be called rows, too
    if face.rows != had_rows and known.scopes and not face.typed:
        raise _refused(face, "it has a batch dimension now" if face.rows else "it has no batch dimension any more")


def _refused(face: Face, why: str) -> Incompatible:
    return Incompatible(
        f"'{face.name}': {why}, which breaks the stubs that callers have; give it a new package with "
        f"--major {face.major + 1}, a name of its own in the hints, or back its old type"
    )


def _type(field: Field) -> str:
    if field.mapped:
        return f"map<string, {field.type}>"
    return f"repeated {field.type}" if field.repeated else f"optional {field.type}" if field.optional else field.type


def _reserved(scope: Scope) -> Reserved:
    return Reserved(tuple(sorted(number for number, _ in scope.gone.values())), tuple(sorted(scope.gone)))


def _to_json(numbers: Numbers) -> dict[str, Any]:
    return {name: [number, kind] if kind else number for name, (number, kind) in numbers.items()}


def _from_json(value: Mapping[str, Any]) -> dict[str, tuple[int, str]]:
    return {
        str(name): (int(entry[0]), str(entry[1])) if isinstance(entry, list) else (int(entry), "")
        for name, entry in value.items()
    }
